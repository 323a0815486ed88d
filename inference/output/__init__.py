"""What a segmented data set leaves: masks, records, archives."""

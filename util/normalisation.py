"""How pictures are normalised for every network: with ImageNet's mean and standard deviation of RGB in 0..1."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

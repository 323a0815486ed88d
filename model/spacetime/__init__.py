"""STCN and XMem, which match a frame against a memory of frames."""

"""BMVOS and EMVOS, which match a frame with the first and the previous one."""

"""msctl, the command line of the market supervision system (命令行工具)."""

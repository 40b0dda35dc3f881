"""The live lifecycle of every market entity (经营主体全生命周期), and its early warnings."""

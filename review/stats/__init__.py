"""Pure numbers: arrays in, estimates out. No I/O, no clock, no global randomness."""

//! Whole-system tests: the real binary against the emulator.

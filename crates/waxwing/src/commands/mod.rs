//! The commands that do one thing and end.

pub mod audit;
pub mod config;
pub mod doctor;
pub mod emulate;
pub mod keys;
pub mod migrate;
pub mod people;
pub mod remote;
pub mod retention;

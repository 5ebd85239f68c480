//! The program: arguments, and off to the command.

use std::process::ExitCode;

use clap::Parser as _;
use portvakt::command::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().execute()
}

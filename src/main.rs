//! Parses the arguments, runs the command, prints the error, sets the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    invited::cli::main()
}

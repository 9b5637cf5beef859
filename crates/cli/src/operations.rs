//! Names of operations: `--op` takes the same values in every command.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use conv1d::Operation;

/// The name that frameworks give an operation.
pub(crate) const fn short(operation: Operation) -> &'static str {
    match operation {
        Operation::Forward => "fwd",
        Operation::InputGradient => "dgrad",
        Operation::WeightGradient => "wgrad",
        Operation::BiasGradient => "bgrad",
        other => other.name(),
    }
}

/// The library's name for an operation, without a space.
const fn long(operation: Operation) -> &'static str {
    match operation {
        Operation::Forward => "forward",
        Operation::InputGradient => "input-gradient",
        Operation::WeightGradient => "weight-gradient",
        Operation::BiasGradient => "bias-gradient",
        other => other.name(),
    }
}

/// Parser of these operations by their long or short names. Help and errors list both.
pub(crate) fn parser(known: &'static [Operation]) -> impl TypedValueParser<Value = Operation> {
    let names = known.iter().flat_map(|&operation| [long(operation), short(operation)]);
    PossibleValuesParser::new(names).try_map(move |name| {
        let named = |&operation: &Operation| name == long(operation) || name == short(operation);
        known.iter().copied().find(named).ok_or("no such operation")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arguments;
    use clap::Parser;

    /// Parses a command line with this value of `--op`; the error is clap's message.
    fn accepts(command: &str, op: &str) -> Result<(), String> {
        let head = match command {
            "explain" => "explain --input 1,1,9 --out-channels 1 --kernel-size 3",
            "tune" => "tune --output x.json",
            other => other,
        };
        let words = std::iter::once("conv1d").chain(head.split_whitespace()).chain(["--op", op]);
        Arguments::try_parse_from(words).map(drop).map_err(|e| e.to_string())
    }

    #[test]
    fn long_names_are_those_of_the_library() {
        for operation in Operation::ALL {
            assert_eq!(long(operation), operation.name().replace(' ', "-"));
        }
    }

    /// Every command accepts every operation that it supports, by both names.
    #[test]
    fn every_command_spells_operations_alike() {
        for operation in Operation::ALL {
            for name in [long(operation), short(operation)] {
                assert_eq!(accepts("explain", name), Ok(()));
                assert_eq!(accepts("tune", name), Ok(()));
                // The benchmark, with or without its command name, does not time the bias gradient.
                let timed = operation != Operation::BiasGradient;
                assert_eq!(accepts("bench", name).is_ok(), timed, "{name}");
                assert_eq!(accepts("", name).is_ok(), timed, "{name}");
            }
        }
        assert_eq!(accepts("tune", "forward,dgrad"), Ok(()));
        assert_eq!(accepts("bench", "forward,dgrad"), Ok(()));
    }

    #[test]
    fn refusals_list_the_values() {
        for command in ["explain", "tune", "bench"] {
            let refusal = accepts(command, "backward").unwrap_err();
            for name in ["forward", "fwd", "input-gradient", "dgrad", "weight-gradient", "wgrad"] {
                assert!(refusal.contains(name), "{command}: {name} is missing in\n{refusal}");
            }
            assert_eq!(refusal.contains("bias-gradient, bgrad"), command != "bench", "{command}\n{refusal}");
        }
    }
}

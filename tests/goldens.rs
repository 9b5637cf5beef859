//! Every kernel against the results computed by PyTorch (`tests/goldens`).

use crate::golden::{Golden, rounded, tensor};
use crate::harness::{Case, Data, assert_promise, candidates, gpu, run};
use conv1d::{Operation, PlanOptions};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

/// A file of `tests/goldens`. The published package comes without them: they are ten times the size of the rest.
pub(crate) fn path(file: &str) -> PathBuf {
    // If the tests run away from their sources, an environment variable holds the path of the sources.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let path = Path::new(&root).join("tests/goldens").join(file);
    assert!(
        path.exists(),
        "{} is missing. The published package has no results of PyTorch: run this test in a clone of the repository",
        path.display()
    );
    path
}

fn check_folder(folder: &str, expected_cases: usize) {
    let folder = path(folder);
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let goldens: Vec<Golden> = serde_json::from_slice(&index).unwrap();
    assert_eq!(goldens.len(), expected_cases);
    for golden in &goldens {
        let bytes = std::fs::read(folder.join(&golden.file)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        check(golden, &file);
    }
}

fn check(golden: &Golden, file: &SafeTensors<'_>) {
    let case = Case::new(golden.layer(), golden.input());
    let shapes = case.shapes();
    let get = |name: &str| tensor(file, &golden.id, name);
    let zeros = |count: usize| vec![0.0; count];
    let bias = get("b");
    let data = Data {
        x: get("x").unwrap(),
        w: get("w").unwrap(),
        b: bias.clone().unwrap_or_else(|| zeros(shapes.bias[0])),
        dy: get("dy").unwrap_or_else(|| zeros(shapes.output.iter().product())),
        ..Data::new(&case)
    };
    let answers = [
        (Operation::Forward, "y"),
        (Operation::InputGradient, "dx"),
        (Operation::WeightGradient, "dw"),
        (Operation::BiasGradient, "db"),
    ];
    for (operation, name) in answers {
        let Some(answer) = get(name) else { continue };
        let exact = data.exact(&case, operation, bias.is_some());
        assert_eq!(answer.len(), exact.len(), "{} {name}", golden.id);
        for (index, (&answer, exact)) in answer.iter().zip(&exact).enumerate() {
            let off = (f64::from(answer) - exact.value).abs();
            let allowed = rounded(answer, exact) - exact.bound();
            assert!(off <= allowed, "{} {name}[{index}]: the oracle says {}, PyTorch {answer}", golden.id, exact.value);
        }
        let plans = candidates(gpu(), &case, operation, &PlanOptions::default());
        for (plan, got) in plans.iter().zip(run(gpu(), &plans, &data, bias.is_some())) {
            let what = format!("{} {name} {}", golden.id, plan.variant());
            let got = got.output;
            assert_promise(&got, &exact, &what);
            for (index, ((&got, &answer), exact)) in got.iter().zip(&answer).zip(&exact).enumerate() {
                let off = (f64::from(got) - f64::from(answer)).abs();
                assert!(off <= rounded(answer, exact), "{what}[{index}]: {got}, PyTorch {answer}");
            }
        }
    }
}

#[test]
fn convolutions_of_pytorch() {
    check_folder("layers_forward", 80);
}

#[test]
fn transposed_convolutions_of_pytorch() {
    check_folder("layers_transposed", 32);
}

//! Outputs and all gradients of whole networks.

use super::oracle::{Kind, Oracle};
use super::tape::Balls;
use crate::harness::{checked_gpu, golden, gpu, values};
use conv1d::Gpu;
use conv1d_nn::{
    CausalConv1d, Entry, FeatureExtractor, Mode, Module, Network, SeparableConv1d, SessionOptions, StateDict, Tcn,
    TcnBlock, Values, WaveNetStack,
};

/// A network, and the oracle's description of it.
struct Case {
    module: Box<dyn Module>,
    kind: Kind,
    input: [usize; 3],
    mode: Mode,
}

fn case(module: impl Module + 'static, kind: Kind, input: [usize; 3]) -> Case {
    let mode = if matches!(kind, Kind::Features { training: true }) { Mode::Training } else { Mode::Evaluation };
    Case { module: Box::new(module), kind, input, mode }
}

/// Results of a session.
struct Got {
    y: Vec<f32>,
    dx: Vec<f32>,
    gradients: StateDict,
}

/// The largest ratio of an element's error to the oracle's estimate of it. Asserts that it is at most 1.
fn share(got: &[f32], exact: &Balls, what: &str) -> f64 {
    assert_eq!(got.len(), exact.value.len(), "{what}: length");
    let mut largest: f64 = 0.0;
    for (i, &got) in got.iter().enumerate() {
        let off = (f64::from(got) - exact.value[i]).abs();
        let share = if off == 0.0 { 0.0 } else { off / exact.error[i] };
        assert!(share <= 1.0, "{what}[{i}]: {got}, exactly {}, off by {share} of {:e}", exact.value[i], exact.error[i]);
        largest = largest.max(share);
    }
    largest
}

/// Asserts that the estimates are small compared with the values: loose ones would prove nothing. (Not used for
/// gradients of parameters: that of a bias before a normalisation is zero.)
fn assert_tight(exact: &Balls, what: &str) {
    let (mut errors, count) = (exact.error.clone(), exact.error.len().max(1));
    let size = (exact.value.iter().map(|v| v * v).sum::<f64>() / count as f64).sqrt();
    errors.sort_by(f64::total_cmp);
    assert!(errors[count / 2] <= 1e-3 * size, "{what}: estimates of {:e} for values of {size}", errors[count / 2]);
}

fn run(gpu: &Gpu, case: &Case, state: &StateDict, x: &[f32], dy: &[f32]) -> (Network, Got) {
    let network = Network::new(gpu, &case.module, 1).unwrap();
    network.load_state_dict(state).unwrap();
    let options = SessionOptions::default().mode(case.mode).gradients();
    let session = network.session_with(case.input, &options).unwrap();
    session.input().write(x).unwrap();
    session.forward().unwrap();
    let y = session.output().read().unwrap();
    session.output_gradient().unwrap().write(dy).unwrap();
    session.backward().unwrap();
    let dx = session.input_gradient().unwrap().read().unwrap();
    let gradients = session.gradients().unwrap().read().unwrap();
    if case.mode == Mode::Evaluation {
        // The same results without gradients, where more is fused.
        let session = network.session(case.input).unwrap();
        session.input().write(x).unwrap();
        session.forward().unwrap();
        let oracle = Oracle::new(case.kind, state, &case.input, x);
        share(&session.output().read().unwrap(), oracle.tape.value(oracle.y), "output of inference");
    }
    (network, Got { y, dx, gradients })
}

/// Asserts that outputs and gradients of a network agree with the oracle. Returns the oracle and its gradients.
fn assert_network<'s>(
    gpu: &Gpu,
    case: &Case,
    state: &'s StateDict,
    x: &[f32],
    dy: &[f32],
) -> (Oracle<'s>, Vec<(String, Balls)>) {
    let (network, got) = run(gpu, case, state, x, dy);
    let oracle = Oracle::new(case.kind, state, &case.input, x);
    let exact = oracle.tape.value(oracle.y).clone();
    let mut shares = vec![("y".to_owned(), share(&got.y, &exact, &format!("{:?} y", case.kind)))];
    assert_tight(&exact, "y");
    let exact_dy = Balls::exact(&exact.shape, dy);
    let gradients: Vec<_> = oracle.tape.gradients(oracle.y, exact_dy).into_iter().collect();
    for (name, exact) in &gradients {
        let what = format!("{:?} gradient of {name}", case.kind);
        if name == "x" {
            assert_tight(exact, &what);
        }
        let got = if name == "x" { &got.dx } else { floats(&got.gradients.entries[name]) };
        shares.push((name.clone(), share(got, exact, &what)));
    }
    // All learnt parameters have a gradient, and no others.
    assert_eq!(got.gradients.entries.len() + 1, gradients.len());
    let after = network.state_dict().unwrap();
    for (name, exact) in &oracle.after {
        for (got, exact) in floats(&after.entries[name]).iter().zip(exact) {
            assert!((f64::from(*got) - exact).abs() <= 1e-6 * (1.0 + exact.abs()), "{name}: {got}, exactly {exact}");
        }
    }
    let largest = shares.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    println!("{:?}: at most {:.3} of the estimate, in {}", case.kind, largest.1, largest.0);
    (oracle, gradients)
}

fn floats(entry: &Entry) -> &[f32] {
    match &entry.values {
        Values::Floats(values) => values,
        other => panic!("{other:?}"),
    }
}

/// The entries of a file whose names begin with a prefix, without the prefix.
fn part(file: &StateDict, prefix: &str) -> StateDict {
    let mut part = file.clone();
    part.entries.retain(|name, _| name.starts_with(prefix));
    part.strip_prefix(prefix).unwrap()
}

/// Asserts that golden values are the exact ones, rounded to `f32` once.
fn assert_rounded(golden: &[f32], exact: &Balls, what: &str) {
    for (i, (&golden, &exact)) in golden.iter().zip(&exact.value).enumerate() {
        let allowed = f64::from(golden.abs()) * f64::from(f32::EPSILON) / 2.0 + 1e-12 + exact.abs() * 1e-9;
        assert!((f64::from(golden) - exact).abs() <= allowed, "{what}[{i}]: the oracle says {exact}, PyTorch {golden}");
    }
}

fn check_golden(id: &str, module: impl Module + 'static, kind: Kind) {
    let file = StateDict::load(golden(&format!("models/{id}.safetensors"))).unwrap();
    let state = part(&file, "state.");
    let (x, dy) = (&file.entries["x"], floats(&file.entries["dy"]));
    let input = x.shape.clone().try_into().unwrap();
    let case = case(module, kind, input);
    for gpu in [gpu(), checked_gpu()] {
        let (oracle, gradients) = assert_network(gpu, &case, &state, floats(x), dy);
        assert_rounded(floats(&file.entries["y"]), oracle.tape.value(oracle.y), &format!("{id} y"));
        for (name, exact) in gradients {
            let key = if name == "x" { "dx".to_owned() } else { format!("grad.{name}") };
            assert_rounded(floats(&file.entries[&key]), &exact, &format!("{id} {key}"));
        }
        for (name, exact) in &oracle.after {
            for (golden, exact) in floats(&file.entries[&format!("after.{name}")]).iter().zip(exact) {
                assert!((f64::from(*golden) - exact).abs() <= 1e-7 * (1.0 + exact.abs()), "{id} {name}");
            }
        }
    }
}

fn causal(kernel: usize, dilation: usize) -> Kind {
    Kind::Causal { kernel, stride: 1, dilation, groups: 1 }
}

fn separable(kernel: usize, stride: usize, dilation: usize) -> Kind {
    Kind::Separable { kernel, stride, dilation }
}

#[test]
fn causal_convolution_of_pytorch() {
    check_golden("causal", CausalConv1d::new(5, 6, 3).dilation(4), causal(3, 4));
}

#[test]
fn wavenet_stack_of_pytorch() {
    check_golden("wavenet_stack", WaveNetStack::new(10), Kind::WaveNet { kernel: 2, layers: 10 });
}

#[test]
fn tcn_blocks_of_pytorch() {
    let block = TcnBlock::new(4, 8, 3).dilation(2).dropout(0.0);
    check_golden("tcn_block", block, Kind::TcnBlock { kernel: 3, dilation: 2 });
    let block = TcnBlock::new(6, 6, 5).dilation(3).dropout(0.0);
    check_golden("tcn_block_identity", block, Kind::TcnBlock { kernel: 5, dilation: 3 });
}

#[test]
fn tcn_of_pytorch() {
    check_golden("tcn", Tcn::new(8, 17, 3).dropout(0.0), Kind::Tcn { kernel: 3, layers: 6 });
}

#[test]
fn feature_extractor_of_pytorch() {
    check_golden("financial_eval", FeatureExtractor::new(6, 9), Kind::Features { training: false });
    check_golden("financial_train", FeatureExtractor::new(6, 9), Kind::Features { training: true });
}

#[test]
fn separable_convolution_of_pytorch() {
    check_golden("separable", SeparableConv1d::new(10, 12, 5), separable(5, 1, 1));
}

/// Every argument of the layers that combine convolutions, with and without a bias.
#[test]
fn layers_of_all_arguments() {
    let strided = |kernel, stride, dilation, groups| Kind::Causal { kernel, stride, dilation, groups };
    let cases = [
        case(CausalConv1d::new(4, 6, 3).stride(2), strided(3, 2, 1, 1), [2, 4, 31]),
        case(CausalConv1d::new(4, 6, 3).groups(2), strided(3, 1, 1, 2), [2, 4, 20]),
        case(CausalConv1d::new(6, 6, 4).stride(3).dilation(2).groups(6).bias(false), strided(4, 3, 2, 6), [3, 6, 40]),
        case(CausalConv1d::new(3, 5, 2).bias(false), strided(2, 1, 1, 1), [1, 3, 9]),
        case(CausalConv1d::new(1, 2, 5).stride(7), strided(5, 7, 1, 1), [1, 1, 3]),
        case(SeparableConv1d::new(4, 6, 5).stride(2), separable(5, 2, 1), [2, 4, 31]),
        case(SeparableConv1d::new(4, 6, 4).dilation(3), separable(4, 1, 3), [2, 4, 30]),
        case(SeparableConv1d::new(3, 2, 4).stride(3).dilation(2).bias(false), separable(4, 3, 2), [2, 3, 40]),
        case(SeparableConv1d::new(2, 3, 1).stride(4), separable(1, 4, 1), [1, 2, 10]),
    ];
    assert_networks(&cases);
}

/// Networks of the same kinds with other sizes and random parameters.
#[test]
fn networks_of_other_sizes() {
    let cases = [
        case(CausalConv1d::new(1, 1, 1), causal(1, 1), [1, 1, 1]),
        case(CausalConv1d::new(3, 70, 4).dilation(7), causal(4, 7), [3, 3, 19]),
        case(WaveNetStack::new(5).kernel_size(3).layers(4), Kind::WaveNet { kernel: 3, layers: 4 }, [3, 5, 65]),
        case(TcnBlock::new(3, 20, 2).dilation(5), Kind::TcnBlock { kernel: 2, dilation: 5 }, [2, 3, 130]),
        case(TcnBlock::new(33, 33, 3), Kind::TcnBlock { kernel: 3, dilation: 1 }, [1, 33, 9]),
        case(Tcn::new(2, 9, 1).kernel_size(5).layers(3), Kind::Tcn { kernel: 5, layers: 3 }, [5, 2, 77]),
        case(Tcn::new(7, 7, 12).kernel_size(2).layers(2), Kind::Tcn { kernel: 2, layers: 2 }, [1, 7, 3]),
        case(FeatureExtractor::new(1, 3), Kind::Features { training: true }, [2, 1, 5000]),
        case(FeatureExtractor::new(4, 17), Kind::Features { training: true }, [7, 4, 31]),
        case(FeatureExtractor::new(4, 17), Kind::Features { training: false }, [2, 4, 31]),
        case(SeparableConv1d::new(6, 3, 4), separable(4, 1, 1), [2, 6, 50]),
    ];
    assert_networks(&cases);
}

fn assert_networks(cases: &[Case]) {
    for (index, case) in cases.iter().enumerate() {
        let network = Network::new(gpu(), &case.module, index as u64).unwrap();
        let state = network.state_dict().unwrap();
        let x = values(11 + index as u64, case.input.iter().product());
        let session = network.session(case.input).unwrap();
        let dy = values(29 + index as u64, session.output().len());
        assert_network(gpu(), case, &state, &x, &dy);
    }
}

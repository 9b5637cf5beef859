//! Every kernel in every variant, run in the interpreter: no faults, the promised results, and counts that do not rise.

use crate::case::{Case, Data, assert_promise};
use crate::cases::named;
use conv1d::paper::{Paper, simt::Fma};
use conv1d::reference::Exact;
use conv1d::{Activation, Caps, DeviceClass, Operation, Plan, PlanOptions, Role};

/// All variants that the planner could choose for an operation on any class of device. Plans with the same dispatches appear once.
fn plans(case: &Case, operation: Operation) -> Vec<Plan> {
    plans_with(case, operation, |_| {})
}

/// The same, with changed limits.
fn plans_with(case: &Case, operation: Operation, change: impl Fn(&mut Caps)) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for class in [DeviceClass::Software, DeviceClass::Integrated, DeviceClass::Discrete, DeviceClass::Unknown] {
        // Natively, textures of a workspace are storage textures.
        let native = class != DeviceClass::Unknown;
        let caps = Caps::of(class).with(|caps| caps.storage_texture_reads = native).with(&change);
        let plan = |options: &PlanOptions| Plan::new(case.fused, operation, case.input, &caps, options);
        let chosen = plan(&PlanOptions::default()).unwrap_or_else(|e| panic!("{case:?} {operation:?}: {e}"));
        let variants = chosen.candidates().iter().map(|c| c.variant.to_string());
        for plan in variants.filter_map(|variant| plan(&PlanOptions::default().kernel(variant)).ok()) {
            if !plans.iter().any(|known| known.same_dispatches(&plan)) {
                plans.push(plan);
            }
        }
    }
    plans
}

/// Every variant for one operation of the named cases: no fault in any access, and results within the promised bound, with fused
/// multiply-adds and with separate ones.
fn assert_named(operation: Operation) {
    let mut fused = false;
    let everything = Paper::default();
    for (name, case) in named() {
        let data = Data::new(&case);
        // Some cases have a bias and some have none.
        let bias = case.input[2].is_multiple_of(2);
        let exact = data.exact(&case, operation, bias);
        let through = operation != Operation::Forward && case.fused.activation != Activation::Identity;
        let mut paper = everything.clone();
        if !bias {
            paper = paper.without(Role::Bias);
        }
        for plan in plans(&case, operation) {
            fused = !fused;
            let tensors = plan.inputs().into_iter().map(|role| (role, data.of(role).to_vec()));
            let paper = paper.clone().fma(if fused { Fma::Fused } else { Fma::Separate }).with_values(tensors);
            let what = format!("{name}, {operation:?} {}", plan.variant());
            let run = plan.on_paper(&paper).unwrap_or_else(|e| panic!("{what}: {e}"));
            let faults: Vec<String> = run.faults().map(ToString::to_string).collect();
            assert!(faults.is_empty(), "{what}: {faults:#?}");
            // A gradient through an activation rounds each term twice more.
            let chain = plan.chain() + 2 * u64::from(through);
            let exact: Vec<Exact> = exact.iter().map(|exact| exact.with_chain(chain)).collect();
            assert_promise(&run.tensor(plan.output()).unwrap(), &exact, &what);
        }
    }
}

#[test]
fn forward_passes_have_no_faults() {
    assert_named(Operation::Forward);
}

#[test]
fn input_gradients_have_no_faults() {
    assert_named(Operation::InputGradient);
}

#[test]
fn weight_gradients_have_no_faults() {
    assert_named(Operation::WeightGradient);
}

#[test]
fn bias_gradients_have_no_faults() {
    assert_named(Operation::BiasGradient);
}

/// Sums that several dispatches continue, since each may make few iterations, have no fault either.
#[test]
fn sums_that_are_continued_have_no_faults() {
    let paper = Paper::default().checked();
    let mut continued = 0;
    for (name, case) in named() {
        for operation in [Operation::Forward, Operation::InputGradient, Operation::WeightGradient] {
            let most = plans(&case, operation).iter().map(Plan::dispatches).max().unwrap();
            let few = plans_with(&case, operation, |caps| caps.max_iterations = 3000);
            for plan in few.iter().filter(|plan| plan.dispatches() > most) {
                continued += 1;
                let run = plan.on_paper(&paper).unwrap();
                let faults: Vec<String> = run.faults().map(ToString::to_string).collect();
                assert!(faults.is_empty(), "{name}, {operation:?} {}: {faults:#?}", plan.variant());
            }
        }
    }
    assert!(continued > 100, "{continued} plans continue a sum");
}

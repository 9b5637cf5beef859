//! The order in which terms are added: equal orders give equal bits.

use crate::harness::{Case, Data, candidates, gpu, run};
use conv1d::{
    Activation, Caps, Conv1d, ConvTranspose1d, DeviceClass, Error, Operation, Order, Padding, Plan, PlanOptions,
    Residual, Role, Tensor,
};
use std::collections::BTreeSet;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Plans of every kernel in every variant, for several classes of device, for devices with few iterations or small bindings,
/// and with small workspaces.
fn many_plans(case: &Case, operation: Operation) -> Vec<Plan> {
    let device = |change: fn(&mut Caps)| gpu().caps().with(change);
    let devices = [
        device(|caps| caps.class = DeviceClass::Software),
        device(|caps| caps.class = DeviceClass::Integrated),
        device(|caps| caps.max_iterations = 80),
        device(|caps| caps.max_iterations = 900),
        device(|caps| caps.max_binding_bytes = 3072),
    ];
    let mut plans: Vec<Plan> = Vec::new();
    for (caps, workspace) in devices.iter().map(|caps| (caps, 1 << 24)).chain([(&devices[0], 16 << 10)]) {
        let options = PlanOptions::default().workspace_bytes(workspace);
        let plan = |options: &PlanOptions| Plan::new(case.fused, operation, case.input, caps, options);
        let Ok(chosen) = plan(&options) else { continue };
        let all = chosen.candidates().iter().filter_map(|c| plan(&options.clone().kernel(c.variant.to_string())).ok());
        for plan in all {
            if !plans.iter().any(|known| known.same_dispatches(&plan)) {
                plans.push(plan);
            }
        }
    }
    plans
}

/// Plans of equal order give the same bits, for any kernels and devices. Some orders are shared by several kernels.
#[test]
fn equal_orders_give_equal_bits() {
    let cases = [
        Case::new(Conv1d::new(12, 10, 5).padding(Padding::Same), [2, 12, 150]),
        Case::new(Conv1d::new(18, 9, 7).stride(2).dilation(3).groups(3), [2, 18, 130]),
        Case::new(Conv1d::new(1, 5, 90).padding(Padding::Causal), [3, 1, 260]),
        // Residues of taps are not residues of texels.
        Case::new(Conv1d::new(2, 5, 8).stride(3), [2, 2, 200]),
        Case::new(Conv1d::new(2, 3, 7).stride(3), [2, 2, 120]),
        // Taps in descending order, cut.
        Case::new(Conv1d::new(5, 1, 7), [2, 5, 120]),
        // Sums over positions that are cut in different places.
        Case::new(Conv1d::new(2, 3, 3), [1, 2, 450]),
        Case::new(Conv1d::new(1, 5, 80), [2, 1, 119]),
        // Most taps meet no sample.
        Case::new(Conv1d::new(1, 1, 40).padding(Padding::both(39)), [1, 1, 4]),
        Case::new(ConvTranspose1d::new(6, 4, 9).stride(4), [2, 6, 40]),
        Case::new(Conv1d::new(7, 5, 3).activation(Activation::Silu).residual(Residual::AfterActivation), [3, 7, 60]),
    ];
    let mut shared = BTreeSet::new();
    for case in cases {
        let data = Data::new(&case);
        for operation in Operation::ALL {
            let plans = many_plans(&case, operation);
            let outputs = run(gpu(), &plans, &data, true);
            let mut known: Vec<(&Order, &Plan, Vec<u32>)> = Vec::new();
            for (plan, written) in plans.iter().zip(&outputs) {
                let Some(order) = plan.order() else { continue };
                let got = bits(&written.output);
                match known.iter().find(|(other, ..)| *other == order) {
                    Some((_, other, expected)) => {
                        assert!(got == *expected, "{other} and {plan} differ, both {order}");
                        shared.insert((plan.variant().kernel, other.variant().kernel));
                    }
                    None => known.push((order, plan, got)),
                }
            }
            assert!(!known.is_empty(), "{case:?} {operation:?}");
        }
    }
    assert!(shared.iter().any(|(a, b)| a != b), "no order of two kernels: {shared:?}");
}

/// An empty batch has the order of any other batch; so does a tensor that is cut to bindings along its batch and its depth.
#[test]
fn orders_do_not_depend_on_the_batch() {
    let layer = Conv1d::new(7, 5, 3);
    for operation in [Operation::Forward, Operation::InputGradient] {
        for plan in candidates(gpu(), &Case::new(layer, [2, 7, 60]), operation, &PlanOptions::default()) {
            let options =
                PlanOptions::default().kernel(plan.variant().to_string()).order(plan.order().unwrap().clone());
            let empty = Plan::new(layer, operation, [0, 7, 60], plan.caps(), &options).unwrap();
            assert_eq!((empty.order(), empty.dispatches()), (plan.order(), 0));
        }
        for bytes in [600, 1024, 1600] {
            let caps = gpu().caps().with(|caps| caps.max_binding_bytes = bytes);
            let direct = PlanOptions::default().kernel("direct/1x4");
            let [one, three] = [1, 3].map(|n| Plan::new(layer, operation, [n, 7, 60], &caps, &direct).unwrap());
            assert!(one.order().is_some() && one.order() == three.order(), "{one:#}\n{three:#}");
        }
    }
}

fn causal(gpu: &conv1d::Gpu, plan: &Plan, x: &Tensor, w: &Tensor) -> Vec<f32> {
    gpu.execute(plan, &[(Role::Input, x), (Role::Weight, w)]).unwrap().read().unwrap()
}

/// A plan for another batch and length, with the order of a first plan, gives the same bits for the same elements.
#[test]
fn an_order_can_be_asked_for() {
    let layer = Conv1d::new(6, 8, 7).dilation(2).padding(Padding::Causal);
    let (short, long) = ([1, 6, 40], [3, 6, 1000]);
    let data = Data::new(&Case::new(layer, long));
    let w = gpu().tensor(&data.w, [8, 6, 7]).unwrap();
    // The short input is the beginning of the long one's first item.
    let rows: Vec<f32> = data.x.chunks(1000).take(6).flat_map(|row| &row[..40]).copied().collect();
    let (x, beginning) = (gpu().tensor(&data.x, long).unwrap(), gpu().tensor(&rows, short).unwrap());
    let mut orders = 0;
    for first in candidates(gpu(), &Case::new(layer, short), Operation::Forward, &PlanOptions::default()) {
        let Some(order) = first.order() else { continue };
        let options = PlanOptions::default().order(order.clone());
        let second = gpu().plan(layer, Operation::Forward, long, &options).unwrap_or_else(|e| panic!("{first:#}: {e}"));
        assert_eq!(second.order(), Some(order));
        let (few, many) = (causal(gpu(), &first, &beginning, &w), causal(gpu(), &second, &x, &w));
        for (short, long) in few.chunks(40).zip(many.chunks(1000)) {
            assert!(bits(short) == bits(&long[..40]), "{first} and {second}: {order}");
        }
        orders += 1;
    }
    assert!(orders > 0);
}

/// If no variant has the order, the error names the requested order and that of the best candidate.
#[test]
fn another_order_is_refused() {
    let plan = |layer: Conv1d, options: &PlanOptions| gpu().plan(layer, Operation::Forward, [1, 6, 60], options);
    let (layer, other) = (Conv1d::new(6, 8, 3), Conv1d::new(6, 8, 5));
    let order = plan(other, &PlanOptions::default()).unwrap().order().unwrap().clone();
    let refused = plan(layer, &PlanOptions::default().order(order)).unwrap_err();
    assert!(matches!(refused, Error::Order { .. }), "{refused}");
}

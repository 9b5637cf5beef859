//! smoke
use conv1d::*;
#[test]
fn smoke() {
    let gpu = Gpu::new().unwrap();
    println!("{:?}", gpu.adapter_info());
    let conv = Conv1d::new(1, 1, 3);
    let x = gpu.tensor(&[1., 2., 3., 4., 5.], [1, 1, 5]).unwrap();
    let w = gpu.tensor(&[1., 0., -1.], [1, 1, 3]).unwrap();
    for k in ["direct", "im2col"] {
        let o = PlanOptions::default().kernel(k);
        let y = gpu.forward(&conv, &x, &w, None, &o).unwrap();
        assert_eq!(y.read().unwrap(), [-2., -2., -2.]);
        let g = gpu.backward(&conv, &x, &w, &y, Wanted::ALL, &o).unwrap();
        println!("{:?} {:?} {:?}", g.input.unwrap().read(), g.weight.unwrap().read(), g.bias.unwrap().read());
    }
    let plan = conv.plan(Operation::InputGradient, [1, 1, 5], gpu.caps()).unwrap();
    println!("{plan}");
}

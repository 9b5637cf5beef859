//! Shaders of other code between kernels: what is promised of their parts, bindings and errors, and of tensors that share memory.

use crate::harness::{Case, checked_gpu, gpu, limited_gpu, values};
use conv1d::reference::Oracle;
use conv1d::{
    Activation, Bindings, Bound, Buffers, Conv1d, Error, Gpu, Operation, Role, Scalar, Shader, Tensor, Workgroups,
};

/// The magnitude of two neighbouring rows of `[N, 2 C, L]`: `[N, C, L]`.
fn magnitude() -> Shader {
    let text = "
// use: element, stored
struct Size { count: u32, length: u32 }
struct Params { @size(16) size: Size, floor: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> pairs: array<Stored>;
@group(0) @binding(1) var<storage, read_write> magnitudes: array<Stored>;

@compute @workgroup_size(LANES)
fn main(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i >= params.size.count) {
        return;
    }
    let at = i + i / params.size.length * params.size.length;
    let square = loaded(pairs[at]) * loaded(pairs[at]) + loaded(pairs[at + params.size.length]) * loaded(pairs[at + params.size.length]);
    magnitudes[i] = stored(sqrt(square) + params.floor);
}
";
    Shader::new("magnitude", text)
}

fn bindings<'a>(pairs: &'a Tensor, magnitudes: &'a Tensor) -> Bindings<'a> {
    Bindings::new()
        .with("pairs", pairs.slice())
        .with("magnitudes", magnitudes.slice())
        .value("size.count", magnitudes.len() as u32)
        .value("size.length", magnitudes.shape()[2] as u32)
        .value("floor", 0.25_f32)
}

fn conv(gpu: &Gpu, layer: Conv1d, x: &Tensor, w: &Tensor, y: &Tensor) -> Bound {
    let plan = layer.plan(Operation::Forward, x.shape(), gpu.caps()).unwrap();
    let buffers =
        Buffers::new().with(Role::Input, x.slice()).with(Role::Weight, w.slice()).with(Role::Output, y.slice());
    gpu.prepare(&plan).unwrap().bind(&buffers).unwrap()
}

/// Two convolutions with a magnitude between them, recorded into one pass.
#[test]
fn a_shader_runs_between_kernels_in_one_pass() {
    for gpu in [gpu(), checked_gpu()] {
        let (first, second) = (Conv1d::new(1, 6, 4), Conv1d::new(3, 2, 3));
        let (x_values, w1_values, w2_values) = (values(1, 2 * 50), values(2, 6 * 4), values(3, 2 * 3 * 3));
        let x = gpu.tensor(&x_values, [2, 1, 50]).unwrap();
        let (w1, w2) = (gpu.tensor(&w1_values, [6, 1, 4]).unwrap(), gpu.tensor(&w2_values, [2, 3, 3]).unwrap());
        let (pairs, rows) = (gpu.zeros([2, 6, 47]).unwrap(), gpu.zeros([2, 3, 47]).unwrap());
        let y = gpu.zeros([2, 2, 45]).unwrap();
        let shader = gpu.prepare_shader(&magnitude()).unwrap();
        assert_eq!(shader.workgroup_size(), [64, 1, 1]);
        let all = Bound::sequence(
            gpu,
            [
                conv(gpu, first, &x, &w1, &pairs),
                shader.bind(&bindings(&pairs, &rows), Workgroups::Elements(rows.len() as u64)).unwrap(),
                conv(gpu, second, &rows, &w2, &y),
            ],
        )
        .unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        all.record(&mut encoder.begin_compute_pass(&Default::default()));
        gpu.queue().submit([encoder.finish()]);

        let exact = Oracle::new(first, [2, 1, 50]).unwrap().forward(&x_values, &w1_values, None).unwrap();
        let between = rows.read().unwrap();
        for (index, got) in between.iter().enumerate() {
            let at = index + index / 47 * 47;
            let expected = exact[at].value.hypot(exact[at + 47].value) + 0.25;
            assert!((f64::from(*got) - expected).abs() < 1e-5, "{index}: {got}, {expected}");
        }
        let exact = Oracle::new(second, [2, 3, 47]).unwrap().forward(&between, &w2_values, None).unwrap();
        crate::harness::assert_promise(&y.read().unwrap(), &exact, "the second convolution");
    }
}

/// Invocations find their elements beyond one dimension of workgroups, and a grid is what it says.
#[test]
fn workgroups_of_any_number() {
    let count = Shader::new(
        "count",
        "
// use: element
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(LANES)
fn main(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i < params.count) {
        output[i] = f32(i % 1024u) + 1.0;
    }
}
",
    );
    let elements = 65_536_usize * 64 + 1;
    let output = gpu().zeros([elements]).unwrap();
    let shader = gpu().prepare_shader(&count).unwrap();
    let bindings = Bindings::new().with("output", output.slice()).value("count", elements as u32);
    gpu().run(&shader.bind(&bindings, Workgroups::Elements(elements as u64)).unwrap()).unwrap();
    let values = output.read().unwrap();
    assert!(values.iter().enumerate().all(|(i, &v)| v == (i % 1024) as f32 + 1.0));
    let too_many = shader.bind(&bindings, Workgroups::Count(1 << 33));
    assert!(matches!(too_many, Err(Error::TooLarge { what: "workgroups of a dispatch", .. })));
    let too_wide = shader.bind(&bindings, Workgroups::Grid([1, u32::MAX, 1]));
    assert!(matches!(too_wide, Err(Error::TooLarge { what: "workgroups of a dimension", .. })));

    let grid = Shader::new(
        "grid",
        "
@group(0) @binding(0) var<storage, read_write> output: array<f32>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) all: vec3<u32>) {
    output[(id.z * all.y + id.y) * all.x + id.x] = f32(100u * id.x + 10u * id.y + id.z);
}
",
    );
    let output = gpu().zeros([2, 3, 4]).unwrap();
    let shader = gpu().prepare_shader(&grid).unwrap();
    let bound = shader.bind(&Bindings::new().with("output", output.slice()), Workgroups::Grid([4, 3, 2])).unwrap();
    gpu().run(&bound).unwrap();
    assert_eq!(output.read().unwrap()[5], 110.0);
    let nothing = shader.bind(&Bindings::new().with("output", output.slice()), Workgroups::Count(0)).unwrap();
    gpu().run(&nothing).unwrap();
}

/// Ranges of one buffer, one of them written, and a uniform of the caller's.
#[test]
fn ranges_of_one_buffer_and_uniforms() {
    let text = "
struct Params { factor: vec2<f32> }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@compute @workgroup_size(4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    output[id.x] = input[id.x] * params.factor.x + params.factor.y;
}
";
    let memory = gpu().tensor(&values(1, 256), [256]).unwrap();
    let (input, output) = (memory.part(64, [4]).unwrap(), memory.part(192, [4]).unwrap());
    let uniform = gpu().device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 8,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let shader = gpu().prepare_shader(&Shader::new("scaled", text)).unwrap();
    let bindings =
        Bindings::new().with("params", uniform.slice(..)).with("input", input.slice()).with("output", output.slice());
    let bound = shader.bind(&bindings, Workgroups::Count(1)).unwrap();
    let before = memory.read().unwrap();
    // The values of the uniform change without a new bind.
    for (factor, addend) in [(2.0_f32, 0.0_f32), (-1.0, 3.0)] {
        gpu().queue().write_buffer(&uniform, 0, bytemuck::cast_slice(&[factor, addend]));
        gpu().run(&bound).unwrap();
        let expected: Vec<f32> = before[64..68].iter().map(|x| x * factor + addend).collect();
        assert_eq!(output.read().unwrap(), expected);
    }
    let after = memory.read().unwrap();
    assert_eq!((&before[..192], &before[196..]), (&after[..192], &after[196..]));
}

/// The reason of a refused binding, and the variable that it names.
fn refused(bindings: &Bindings<'_>) -> (String, String) {
    let shader = gpu().prepare_shader(&magnitude()).unwrap();
    match shader.bind(bindings, Workgroups::Count(1)) {
        Err(Error::Binding { shader, variable, reason }) => {
            assert_eq!(shader, "magnitude");
            (variable, reason)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_bindings_are_errors_that_name_the_variable() {
    let (pairs, rows) = (gpu().zeros([1, 2, 8]).unwrap(), gpu().zeros([1, 1, 8]).unwrap());
    let good = || bindings(&pairs, &rows);
    let told = |bindings: &Bindings<'_>, variable: &str, part: &str| {
        let (name, reason) = refused(bindings);
        assert!(name == variable && reason.contains(part), "{name}: {reason}");
    };
    told(&Bindings::new(), "magnitudes", "no buffer");
    told(&good().with("paris", rows.slice()), "paris", r#"["params", "magnitudes", "pairs"]"#);
    told(&good().with("floor", pairs.slice()), "floor", "Bindings::value");
    told(&good().value("pairs", 1_u32), "pairs", "Bindings::with");
    told(&good().with("pairs", pairs.slice()), "pairs", "twice");
    told(&good().value("floor", 1.0_f32), "floor", "twice");
    told(&good().value("ceiling", 1.0_f32), "ceiling", r#""size.count""#);
    let half = || Bindings::new().with("pairs", pairs.slice()).with("magnitudes", rows.slice()).value("floor", 0.0_f32);
    told(&half().value("size.count", 8_u32), "size.length", "no value");
    told(&half().value("size.count", 8_u32).value("size.length", 8_i32), "size.length", "u32");
    told(&half().values([("size.count", Scalar::F32(8.0)), ("size.length", Scalar::U32(8))]), "size.count", "f32");
    let tensors = |pairs, rows| {
        let sizes = [("size.count", Scalar::U32(8)), ("size.length", Scalar::U32(8)), ("floor", Scalar::F32(0.0))];
        Bindings::new().with("pairs", pairs).with("magnitudes", rows).values(sizes)
    };
    let buffer = pairs.buffer();
    told(&tensors(buffer.slice(4..), rows.slice()), "pairs", "offset 4");
    told(&tensors(pairs.slice(), rows.buffer().slice(..2)), "magnitudes", "2 bytes");
    let nothing = pairs.part(0, [0]).unwrap();
    told(&tensors(nothing.slice(), rows.slice()), "pairs", "0 bytes");
    let map = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: None, size: 64, usage: map, mapped_at_creation: false };
    let plain = gpu().device().create_buffer(&descriptor);
    told(&tensors(plain.slice(..), rows.slice()), "pairs", "STORAGE");
    told(&tensors(pairs.slice(), pairs.slice()), "magnitudes", "overlaps pairs");
    // Nothing to do is no reason to take anything.
    let shader = gpu().prepare_shader(&magnitude()).unwrap();
    let half = shader.bind(&half().value("size.count", 8_u32), Workgroups::Elements(0));
    assert!(matches!(half, Err(Error::Binding { .. })), "{half:?}");
    // A buffer is uniform or written in a dispatch, and the limit of a uniform is the device's.
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE;
    let descriptor = wgpu::BufferDescriptor { label: None, size: 1 << 20, usage, mapped_at_creation: false };
    let both = gpu().device().create_buffer(&descriptor);
    let uniform = |slice| Bindings::new().with("params", slice).with("pairs", pairs.slice());
    told(&uniform(both.slice(..256)).with("magnitudes", both.slice(4096..8192)), "params", "writes another range");
    told(&uniform(both.slice(..)).with("magnitudes", rows.slice()), "params", "a binding has");
    let given = uniform(both.slice(..256)).with("magnitudes", rows.slice()).value("floor", 0.0_f32);
    told(&given, "floor", "its uniform params has a buffer");
}

#[test]
fn wrong_shaders_are_errors_that_name_the_line() {
    let wrong = |shader: &Shader| match gpu().prepare_shader(shader) {
        Err(Error::Shader { shader: name, message }) => {
            assert_eq!(name, "wrong");
            message
        }
        other => panic!("{other:?}"),
    };
    let body = "\n@compute @workgroup_size(1)\nfn main() {\n    let x = nothing;\n}\n";
    let message = wrong(&Shader::new("wrong", body));
    assert!(message.contains("wrong.wgsl:4:13") && message.contains("nothing"), "{message}");
    // A text with parts has them before it.
    let message = wrong(&Shader::new("wrong", format!("// use: stored{body}")));
    assert!(message.contains("wrong.wgsl:4:13"), "{message}");
    static OWN: &[(&str, &str)] = &[("broken", "fn twice(x: f32) -> f32 {\n    return factor * x;\n}\n")];
    let text = "// use: broken\n@compute @workgroup_size(1)\nfn main() {\n}\n";
    let message = wrong(&Shader::new("wrong", text).library(OWN));
    assert!(message.contains("lib/broken.wgsl:2"), "{message}");

    let entry = |text: &str| format!("{text}\n@compute @workgroup_size(1)\nfn main() {{\n}}\n");
    for (text, part) in [
        ("// use: no_such_part", "there is no part no_such_part; the library has activation/identity"),
        // Parts of kernels are not for others.
        ("// use: weight", "there is no part weight"),
        ("// use: no_such_folder/*", "no_such_folder"),
        ("@compute @workgroup_size(1)\nfn second() {\n}", "2 entry points"),
        ("@group(1) @binding(0) var<storage> x: array<f32>;", "group 0"),
        ("@group(0) @binding(0) var x: texture_2d<f32>;", "texture"),
    ] {
        let message = wrong(&Shader::new("wrong", entry(text)));
        assert!(message.contains(part), "{text}: {message}");
    }
    assert!(wrong(&Shader::new("wrong", entry("")).constant("SIDE", 3)).contains("SIDE"));
    assert!(wrong(&Shader::new("wrong", entry("")).part("activation", "relu")).contains("activation/relu"));

    let small = limited_gpu(|limits| limits.max_storage_buffers_per_shader_stage = 8);
    let many: String =
        (0..9).map(|i| format!("@group(0) @binding({i}) var<storage> x{i}: array<f32>;\n")).collect::<String>();
    let too_many = small.prepare_shader(&Shader::new("wrong", entry(&many)));
    assert!(matches!(too_many, Err(Error::DeviceLimit { available: 8, needed: 9, .. })), "{too_many:?}");
}

/// Sizes beyond everything are errors, and nothing overflows on the way to them.
#[test]
fn absurd_shaders_are_errors() {
    let text = |head: &str, size: &str| format!("{head}\n@compute @workgroup_size({size})\nfn main() {{\n}}\n");
    for (head, size) in [
        ("var<workgroup> a: array<u32, 2000000000>;", "1"),
        ("@group(0) @binding(0) var<storage> a: array<u32, 2000000000>;", "1"),
        (
            "var<workgroup> a: array<u32, 500000000>;\nvar<workgroup> b: array<u32, 500000000>;\nvar<workgroup> c: array<u32, 500000000>;",
            "1",
        ),
        ("var<workgroup> a: array<array<u32, 268435455>, 4>;", "1"),
        ("", "4294967295, 4294967295, 4294967295"),
        ("", "0"),
        ("", "5000"),
        // The size is not known before the pipeline.
        ("override n: u32 = 5000u;", "n"),
        ("@group(0) @binding(0) var s: sampler;", "1"),
        ("@group(0) @binding(0) var<storage> a: array<u32>;\n@group(0) @binding(0) var<storage> b: array<u32>;", "1"),
        ("", "1) @workgroup_size(1"),
    ] {
        let refused = gpu().prepare_shader(&Shader::new("absurd", text(head, size)));
        assert!(matches!(refused, Err(Error::Shader { .. } | Error::DeviceLimit { .. })), "{head} {size}: {refused:?}");
    }
    // A name is a name only.
    let name = "a\nconst INJECTED: u32 = 1u; //";
    let text = "// use: stored\n@compute @workgroup_size(INJECTED)\nfn main() {\n}\n";
    assert!(gpu().prepare_shader(&Shader::new(name, text)).is_err());
    let twice = Shader::new("twice", "const A: u32 = 0u;\n@compute @workgroup_size(1)\nfn main() {\n}\n");
    assert!(gpu().prepare_shader(&twice.clone().constant("A", 1).constant("A", 2)).is_err());
    assert!(gpu().prepare_shader(&twice.constant("A", 1).constant("A", 1)).is_ok());
    let lanes = Shader::new("lanes", "// use: stored\n@compute @workgroup_size(LANES)\nfn main() {\n}\n");
    assert!(gpu().prepare_shader(&lanes.constant("LANES", 48)).is_err());
}

/// Texts may be indented as string literals are, spaced in any way, and begin with directives.
#[test]
fn texts_of_any_style() {
    let memory = gpu().tensor(&values(1, 192), [192]).unwrap();
    let (input, output) = (memory.part(0, [64]).unwrap(), memory.part(128, [64]).unwrap());
    for declaration in [
        "var<storage, read>",
        "var<storage>",
        "var<storage,read>",
        "var <storage, read,>",
        "var<\n    storage, // where it is\n    read\n>",
    ] {
        let text = format!(
            "
            diagnostic(off, derivative_uniformity);
            // use: element
            const FACTOR: u32 = 1u;
            @group(0) @binding(0) {declaration} input: array<f32>;
            @group(0) @binding(1) var<storage,read_write> output: array<f32>;
            @compute @workgroup_size(LANES)
            fn main(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {{
                let i = element(workgroup, lane);
                output[i] = f32(FACTOR) * input[i];
            }}
            "
        );
        let shader = gpu().prepare_shader(&Shader::new("style", text).constant("FACTOR", 3)).unwrap();
        let bindings = Bindings::new().with("input", input.slice()).with("output", output.slice());
        gpu().run(&shader.bind(&bindings, Workgroups::Elements(64)).unwrap()).unwrap();
        let expected: Vec<f32> = input.read().unwrap().iter().map(|x| 3.0 * x).collect();
        assert_eq!(output.read().unwrap(), expected, "{declaration}");
    }
}

/// Constants, choices of parts and parts of the program's own make different shaders of one text, each compiled by itself.
#[test]
fn one_text_in_several_variants() {
    static OWN: &[(&str, &str)] = &[
        ("shape/flat", "fn shaped(x: f32) -> f32 { return 1.0; }"),
        ("shape/line", "fn shaped(x: f32) -> f32 { return x; }"),
    ];
    let text = "
// use: activation/*, shape/*
const FACTOR: u32 = 1u;
@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@compute @workgroup_size(4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    values[id.x] = f32(FACTOR) * activate(shaped(values[id.x]), 0.5);
}
";
    let run = |shader: Shader| {
        let values = gpu().tensor(&[-2.0, -1.0, 0.5, 3.0], [4]).unwrap();
        let bindings = Bindings::new().with("values", values.slice());
        gpu().run(&gpu().prepare_shader(&shader).unwrap().bind(&bindings, Workgroups::Count(1)).unwrap()).unwrap();
        values.read().unwrap()
    };
    let base = || Shader::new("variants", text).library(OWN);
    assert_eq!(run(base()), [1.0; 4]);
    assert_eq!(run(base().part("shape", "line")), [-2.0, -1.0, 0.5, 3.0]);
    assert_eq!(run(base().part("shape", "line").part("activation", "relu")), [0.0, 0.0, 0.5, 3.0]);
    assert_eq!(
        run(base().part("shape", "line").part("activation", "leaky_relu").constant("FACTOR", 2)),
        [-2.0, -1.0, 1.0, 6.0]
    );
    // Another text of the same name.
    let other = Shader::new("variants", text.replace("f32(FACTOR) *", "3.0 +")).library(OWN);
    assert_eq!(run(other.part("shape", "line")), [1.0, 2.0, 3.5, 6.0]);
    assert!(base().wgsl().unwrap().contains("fn activate("));
}

/// Without trust, an index out of bounds harms nothing.
#[test]
fn indices_are_checked_unless_the_caller_vouches() {
    let text = "
@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@compute @workgroup_size(1)
fn main() {
    for (var i = 0u; i < 100000u; i++) {
        values[i] = 1.0;
    }
}
";
    let memory = gpu().tensor(&[7.0; 192], [192]).unwrap();
    let inner = memory.part(64, [64]).unwrap();
    let shader = gpu().prepare_shader(&Shader::new("outside", text)).unwrap();
    gpu().run(&shader.bind(&Bindings::new().with("values", inner.slice()), Workgroups::Count(1)).unwrap()).unwrap();
    let values = memory.read().unwrap();
    assert!(values[..64].iter().chain(&values[128..]).all(|&v| v == 7.0));
    assert_eq!(inner.read().unwrap(), [1.0; 64]);
}

/// Parts of tensors are tensors: they are written, read, copied, and used by kernels, wherever they lie.
#[test]
fn parts_of_tensors() {
    let memory = gpu().tensor(&values(1, 400), [400]).unwrap();
    let x = memory.part(7, [1, 3, 50]).unwrap();
    assert_eq!((x.offset(), x.shape(), x.len()), (28, &[1, 3, 50][..], 150));
    let w = memory.part(201, [2, 3, 5]).unwrap();
    let case = Case::new(Conv1d::new(3, 2, 5), [1, 3, 50]);
    let (x_values, w_values) = (x.read().unwrap(), w.read().unwrap());
    let exact = Oracle::new(case.layer, case.input).unwrap().forward(&x_values, &w_values, None).unwrap();
    let y = gpu().conv1d(&Conv1d::new(3, 2, 5), &x, &w, None).unwrap();
    crate::harness::assert_promise(&y.read().unwrap(), &exact, "parts of one buffer");
    let dx = gpu().activation_backward(Activation::Relu, &x, &memory.part(200, [1, 3, 50]).unwrap()).unwrap();
    let behind = memory.part(200, [150]).unwrap().read().unwrap();
    let expected: Vec<f32> = x_values.iter().zip(&behind).map(|(&y, &dy)| if y > 0.0 { dy } else { 0.0 }).collect();
    assert_eq!(dx.read().unwrap(), expected);

    // Copies within one buffer, overlapping ones too.
    let line = gpu().tensor(&[0.0, 1.0, 2.0, 3.0, 4.0], [5]).unwrap();
    line.part(1, [4]).unwrap().copy_from(&line.part(0, [4]).unwrap()).unwrap();
    assert_eq!(line.read().unwrap(), [0.0, 0.0, 1.0, 2.0, 3.0]);
    line.part(2, [2]).unwrap().part(1, [1]).unwrap().write(&[9.0]).unwrap();
    assert_eq!(line.read().unwrap(), [0.0, 0.0, 1.0, 9.0, 3.0]);
    let mut two = [0.0; 2];
    line.part(3, [2]).unwrap().read_into(&mut two).unwrap();
    assert_eq!(two, [9.0, 3.0]);
    let nothing = line.part(5, [0]).unwrap();
    assert!(nothing.read().unwrap().is_empty());
    assert_eq!((nothing.slice().offset(), nothing.slice().size()), (20, 0));
    assert!(matches!(line.part(4, [2]), Err(Error::TooLarge { value: 6, limit: 5, .. })));
    assert!(matches!(line.part(usize::MAX, [2]), Err(Error::TooLarge { .. })));
    assert!(matches!(line.part(0, [usize::MAX, 3]), Err(Error::TooLarge { .. })));
}

/// Activations and their gradients, against the reference's, also where a tensor is larger than one binding.
#[test]
fn activations_of_tensors() {
    let small = limited_gpu(|limits| limits.max_storage_buffer_binding_size = 1 << 10);
    let x = values(5, 700).iter().map(|v| v * 6.0).collect::<Vec<f32>>();
    let dy = values(6, 700);
    for activation in Activation::ALL {
        for gpu in [gpu(), &small] {
            let tensor = |values: &[f32]| gpu.tensor(values, [7, 100]).unwrap();
            let y = gpu.activation(activation, &tensor(&x)).unwrap();
            assert_eq!(y.shape(), [7, 100]);
            let saved = if activation.derivative_needs_input() { tensor(&x) } else { y.clone() };
            let dx = gpu.activation_backward(activation, &saved, &tensor(&dy)).unwrap().read().unwrap();
            for (index, (&y, &dx)) in y.read().unwrap().iter().zip(&dx).enumerate() {
                let z = f64::from(x[index]);
                let allowed = 2_f64.powi(-20) * (1.0 + z.abs());
                assert!((f64::from(y) - activation.value(z)).abs() <= allowed, "{activation:?}({z}) = {y}");
                let exact = f64::from(dy[index]) * activation.derivative(z);
                assert!((f64::from(dx) - exact).abs() <= 4.0 * allowed, "{activation:?}'({z}): {dx}, {exact}");
            }
        }
    }
    let empty = gpu().activation(Activation::Relu, &gpu().zeros([0, 3]).unwrap()).unwrap();
    assert_eq!(empty.shape(), [0, 3]);
    let x = gpu().zeros([4]).unwrap();
    assert!(matches!(gpu().activation(Activation::LeakyRelu(f32::NAN), &x), Err(Error::Slope { .. })));
    let other = gpu().activation_backward(Activation::Relu, &x, &gpu().zeros([2, 2]).unwrap());
    assert!(matches!(other, Err(Error::Shape { tensor: "the output gradient", .. })), "{other:?}");
    assert!(matches!(gpu().activation(Activation::Relu, &small.zeros([4]).unwrap()), Err(Error::WrongDevice { .. })));
}

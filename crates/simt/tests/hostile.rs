//! Odd shaders and dispatches give results or errors that name the reason, in reasonable time and memory.

use crate::{bound, run, shader, words};
use conv1d_simt::{Buffer, Dispatch, Error, Shader, Texture, Workgroups};

#[track_caller]
fn fails(wgsl: &str, with: &str) {
    match Shader::new(wgsl) {
        Ok(_) => panic!("it compiles"),
        Err(error @ Error::Invalid { .. }) => panic!("{error}"),
        Err(error) => assert!(error.to_string().contains(with), "{error}"),
    }
}

#[test]
fn types_that_are_not_of_32_bits_are_named() {
    let with = |declared: &str| format!("{declared}\n@compute @workgroup_size(1) fn main() {{ y[0] = y[1]; }}");
    let storage = "@group(0) @binding(0) var<storage, read_write> y:";
    fails(&with(&format!("enable f16;\n{storage} array<f16, 4>;")), "Float of 16 bits");
    fails(&with(&format!("{storage} array<u64, 4>;")), "Uint of 64 bits");
    fails(&with(&format!("{storage} array<i64, 4>;")), "Sint of 64 bits");
    fails(&with(&format!("{storage} array<f64, 4>;")), "Float of 64 bits");
}

#[test]
fn other_images_and_samplers_are_named() {
    let with = |declared: &str| {
        format!("@group(0) @binding(0) var t: {declared};\n@compute @workgroup_size(1) fn main() {{}}")
    };
    for (declared, name) in [
        ("texture_3d<f32>", "D3"),
        ("texture_2d<u32>", "Uint"),
        ("texture_2d_array<f32>", "arrayed"),
        ("texture_storage_2d<rgba8unorm, write>", "Rgba8Unorm"),
        ("sampler", "Sampler"),
    ] {
        fails(&with(declared), name);
    }
}

#[test]
fn overrides_are_named() {
    fails("override n: u32 = 1;\n@compute @workgroup_size(n) fn main() {}", "overrides");
}

#[test]
fn invalid_text_is_an_error_with_the_line() {
    let error = Shader::new("fn main() {\n    let a = ;\n}").unwrap_err();
    assert!(matches!(&error, Error::Invalid { message } if message.contains("2")), "{error}");
    assert_eq!(Shader::new("fn f() {}").unwrap_err(), Error::EntryPoint { name: String::new() });
    assert_eq!(Shader::new("").unwrap_err(), Error::EntryPoint { name: String::new() });
}

#[test]
fn an_entry_point_is_chosen_by_name() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@vertex fn corner() -> @builtin(position) vec4<f32> { return vec4<f32>(); }
@compute @workgroup_size(1) fn one() { y[0] = 1u; }
@compute @workgroup_size(2) fn two(@builtin(local_invocation_index) i: u32) { y[i] = 2u; }";
    let value = |name: &str| {
        let shader = Shader::with_entry_point(wgsl, name).unwrap();
        words(&bound(&shader, [1, 1, 1], &[("y", &[0, 0])]).run().unwrap(), "y")
    };
    assert_eq!(value(""), [1, 0]);
    assert_eq!(value("one"), [1, 0]);
    assert_eq!(value("two"), [2, 2]);
    for name in ["three", "corner"] {
        assert_eq!(Shader::with_entry_point(wgsl, name).unwrap_err(), Error::EntryPoint { name: name.into() });
    }
}

#[test]
fn bindings_that_do_not_fit_are_errors() {
    let shader = shader(
        "@group(0) @binding(0) var<storage, read_write> y: array<vec4<u32>>;
@group(0) @binding(1) var t: texture_2d<f32>;
@compute @workgroup_size(1) fn main() { y[0] = vec4<u32>(textureLoad(t, vec2(0, 0), 0)); }",
    );
    let texture = || Texture::new(1, 1, Buffer::new(Vec::new()));
    let failed = |dispatch: Dispatch<'_>| match dispatch.run() {
        Err(Error::Binding { name, problem }) => format!("{name}: {problem}"),
        other => panic!("{other:?}"),
    };
    let dispatch = Dispatch::new(&shader, [1, 1, 1]);
    assert_eq!(failed(dispatch.clone()), "y: nothing is bound to it");
    let empty = dispatch.clone().bind("y", Buffer::new(Vec::new()));
    assert_eq!(failed(empty), "y: 0 words are bound, it needs 4");
    let dispatch = dispatch.bind("y", Buffer::new(vec![0; 5]));
    assert_eq!(failed(dispatch.clone().bind("t", Buffer::new(vec![0]))), "t: a buffer is bound, it needs a texture");
    assert_eq!(failed(dispatch.clone().bind("y", texture())), "y: a texture is bound, it needs a buffer");
    let dispatch = dispatch.bind("t", texture());
    assert_eq!(failed(dispatch.clone().bind("z", texture())), "z: the shader has no variable of this name");
    let large = dispatch.clone().bind("t", Texture::new(1 << 16, 1 << 16, Buffer::new(Vec::new())));
    assert_eq!(failed(large), "t: 65536 x 65536 texels, more than 2^29");
    assert!(matches!(dispatch.clone().subgroup(3).run(), Err(Error::Value { value: 3, .. })));
    assert!(matches!(dispatch.clone().subgroup(0).run(), Err(Error::Value { value: 0, .. })));
    dispatch.run().unwrap();
}

#[test]
fn a_dispatch_of_nothing_does_nothing() {
    let shader = shader(
        "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64) fn main() { y[0] = 1u; }",
    );
    for workgroups in [[0, 1, 1], [5, 0, 7], [0; 3]] {
        for chosen in [Workgroups::All, Workgroups::Sample(0), Workgroups::Sample(8)] {
            let report = bound(&shader, workgroups, &[("y", &[7])]).workgroups(chosen).run().unwrap();
            assert_eq!((words(&report, "y"), report.faults, report.counts.workgroups), (vec![7], vec![], 0.0));
        }
    }
}

#[test]
fn too_many_invocations_are_an_error() {
    let shader = shader("@compute @workgroup_size(64) fn main() {}");
    let run = |workgroups| Dispatch::new(&shader, workgroups).workgroups(Workgroups::Sample(3)).run();
    assert!(matches!(run([u32::MAX; 3]), Err(Error::Value { .. })));
    assert_eq!(run([65_536; 3]).unwrap().counts.workgroups, (1_u64 << 48) as f64);
}

#[test]
fn workgroups_of_1_and_1024_invocations_run() {
    for (size, lanes) in [("1", 1), ("1024", 1024), ("8, 4, 32", 1024), ("1, 1, 64", 64), ("1, 1024", 1024)] {
        let wgsl = format!(
            "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size({size})
fn main(@builtin(local_invocation_index) i: u32, @builtin(local_invocation_id) id: vec3<u32>) {{
    y[i] = id.x + 100u * id.y + 10000u * id.z;
}}"
        );
        let report = run(&wgsl, [1, 1, 1], &[("y", &vec![0; lanes])]);
        let [x, y, _] = shader(&wgsl).workgroup_size().map(|size| size as usize);
        let expected: Vec<u32> =
            (0..lanes).map(|i| (i % x + 100 * (i / x % y) + 10_000 * (i / x / y)) as u32).collect();
        assert_eq!(words(&report, "y"), expected);
    }
    assert!(matches!(
        Shader::new("@compute @workgroup_size(1025) fn main() {}"),
        Err(Error::Value { value: 1025, .. })
    ));
    assert!(Shader::new("@compute @workgroup_size(65536, 65536, 65536) fn main() {}").is_err());
}

#[test]
fn huge_variables_are_errors() {
    let with = |body: &str| {
        format!(
            "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {{ {body} }}"
        )
    };
    fails(&with("var a: array<f32, 1000000>; a[i] = 1.0; y[i] = u32(a[i + 1u]);"), "private variable");
    fails(&with("var a = array<f32, 1000000>(); a[i] = 1.0; y[i] = u32(a[i + 1u]);"), "private variable");
    fails(&(with("p[i] = 1u; y[i] = p[y[i]];") + "var<private> p: array<u32, 100000000>;"), "private variable");
    fails(&(with("w[i] = 1u; y[i] = w[y[i]];") + "var<workgroup> w: array<u32, 100000000>;"), "workgroup memory");
    let two = "var<workgroup> v: array<u32, 500000000>; var<workgroup> w: array<u32, 500000000>;";
    fails(&(with("w[i] = 1u; v[i] = 1u;") + two), "workgroup memory");
    let whole = "struct Large { a: array<u32, 10000000> }
@group(0) @binding(1) var<storage, read_write> z: array<Large, 2>;";
    fails(&(with("z[0] = z[1];") + whole), "a value");
    // A large one that still works.
    let shader = shader(&with("var a: array<u32, 8000>; a[i] = i; a[i * 100u] = 7u; y[i] = a[i] + a[100];"));
    let report = bound(&shader, [1, 1, 1], &[("y", &[0; 64])]).run().unwrap();
    let expected: Vec<u32> = (0..64).map(|i| if i == 0 { 7 } else { i } + if i == 1 { 7 } else { 0 }).collect();
    assert_eq!(words(&report, "y"), expected);
}

#[test]
fn calls_that_multiply_are_an_error() {
    let mut wgsl = String::from("fn f0(a: u32) -> u32 { return a * 3u; }\n");
    for i in 1..30 {
        wgsl += &format!("fn f{i}(a: u32) -> u32 {{ return f{0}(a) + f{0}(a + 1u); }}\n", i - 1);
    }
    let main = |i: u32| {
        format!(
            "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main() {{ y[0] = f{i}(y[0]); }}"
        )
    };
    fails(&(wgsl.clone() + &main(29)), "operations of the shader");
    // The sum of 3 (a + the ones among the 4 calls).
    let report = run(&(wgsl + &main(4)), [1, 1, 1], &[("y", &[5])]);
    assert_eq!(words(&report, "y"), [3 * (16 * 5 + 4 * 16 / 2)]);
}

#[test]
fn nested_loops_with_the_condition_at_their_end_compile() {
    let depth = 30;
    let mut wgsl = String::from(
        "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) lane: u32) {\nvar sum = 0u;\n",
    );
    for i in 0..depth {
        wgsl += &format!("var i{i} = 0u; loop {{\n");
    }
    wgsl += "sum += 1u;\n";
    for i in (0..depth).rev() {
        wgsl += &format!("continuing {{ i{i}++; break if i{i} > y[4 + {i}]; }} }}\n");
    }
    wgsl += "y[lane] = sum;\n}";
    let mut given = vec![0; 4 + depth];
    (given[10], given[20]) = (1, 2);
    assert_eq!(words(&run(&wgsl, [1, 1, 1], &[("y", &given)]), "y")[..4], [6; 4]);
}

#[test]
fn nested_loops_of_constant_length_compile() {
    let mut wgsl = String::from(
        "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main() {\nvar sum = y[0];\n",
    );
    for i in 0..12 {
        wgsl += &format!("for (var i{i} = 0u; i{i} < 2u; i{i}++) {{\n");
    }
    wgsl += &format!("sum = sum * 3u + i0 + i11;\n{}\ny[0] = sum;\n}}", "}".repeat(12));
    let mut sum = 0_u32;
    for i in 0..1_u32 << 12 {
        sum = sum.wrapping_mul(3).wrapping_add((i >> 11) + (i & 1));
    }
    assert_eq!(words(&run(&wgsl, [1, 1, 1], &[("y", &[0])]), "y"), [sum]);
}

#[test]
fn deep_branches_and_long_switches_compile() {
    let mut wgsl = String::from(
        "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) lane: u32) {\nvar a = 0u;\n",
    );
    for i in 0..60 {
        wgsl += &format!("if lane > {i}u {{ a += 1u;\n");
    }
    wgsl += &"}".repeat(60);
    wgsl += "\nswitch lane {\n";
    for i in 0..200 {
        wgsl += &format!("case {i}u: {{ a += {i}u; }}\n");
    }
    wgsl += "default: { a = 0u; }\n}\ny[lane] = a;\n}";
    let expected: Vec<u32> = (0..64).map(|lane| lane + lane.min(60)).collect();
    assert_eq!(words(&run(&wgsl, [1, 1, 1], &[("y", &[0; 64])]), "y"), expected);
}

#[test]
fn buffers_of_patterns_stay_small_until_they_are_written() {
    let shader = shader(
        "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> z: array<atomic<u32>>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    y[id.x] = y[id.x] * 2.0;
    atomicAdd(&z[id.x], 1u);
}",
    );
    // 8 GB each, if they were written.
    let dispatch = Dispatch::new(&shader, [1 << 24, 1, 1]).workgroups(Workgroups::Sample(10));
    let dispatch = dispatch.bind("y", Buffer::pattern(1 << 31)).bind("z", Buffer::pattern(1 << 31));
    let report = dispatch.counts_only().run().unwrap();
    assert_eq!(report.counts.lanes.floats, 2_f64.powi(30));
    assert_eq!(report.buffer("z").unwrap(), &Buffer::pattern(1 << 31));
}

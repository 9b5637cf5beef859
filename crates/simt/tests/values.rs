//! Values equal those computed in Rust.

use crate::{bits, bound, run, shader, words};
use conv1d_simt::{Buffer, Dispatch, Fma, Texture};

const HEAD: &str = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {\n";

/// The words that a body of 8 lanes leaves in `y`, which is `input` before. Items of the module may follow the body.
fn of(body: &str, items: &str, input: &[u32]) -> Vec<u32> {
    let report = run(&format!("{HEAD}{body}\n}}\n{items}"), [1, 1, 1], &[("y", input)]);
    assert_eq!(report.faults, [], "{body}");
    words(&report, "y")
}

/// Compares what each lane computes from its word, for 8 words.
#[track_caller]
fn each(body: &str, items: &str, input: [u32; 8], expected: impl Fn(u32, u32) -> u32) {
    let expected: Vec<u32> = (0..).zip(input).map(|(lane, word)| expected(lane, word)).collect();
    assert_eq!(of(&format!("let x = y[lane];\n{body}"), items, &input), expected, "{body}");
}

const EDGES: [u32; 8] = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX];

#[test]
fn integers_wrap_and_divide_as_wgsl_says() {
    each(
        "y[lane] = x * x + 3u - (x << 5u) ^ 0u;".replace("- (x << 5u) ^ 0u", "- (x << 5u)").as_str(),
        "",
        EDGES,
        |_, x| x.wrapping_mul(x).wrapping_add(3).wrapping_sub(x << 5),
    );
    each("y[lane] = x / (x & lane) + x % (x & lane);", "", EDGES, |lane, x| {
        let by = x & lane;
        x.checked_div(by).unwrap_or(x).wrapping_add(x.checked_rem(by).unwrap_or(0))
    });
    for by in [-1, 1, 2, -3, i32::MAX] {
        each(
            &format!(
                "let by = {by}; y[lane] = bitcast<u32>(bitcast<i32>(x) / by) ^ bitcast<u32>(bitcast<i32>(x) % by);"
            ),
            "",
            EDGES,
            |_, x| ((x as i32).wrapping_div(by) ^ (x as i32).wrapping_rem(by)) as u32,
        );
    }
    each(
        "y[lane] = bitcast<u32>(bitcast<i32>(x) / bitcast<i32>(lane)) + bitcast<u32>(-bitcast<i32>(x));",
        "",
        EDGES,
        |lane, x| {
            let quotient = if lane == 0 { x } else { (x as i32).wrapping_div(lane as i32) as u32 };
            quotient.wrapping_add(x.wrapping_neg())
        },
    );
    each(
        "y[lane] = (x << (lane * 5u)) ^ (x >> (lane * 7u)) ^ bitcast<u32>(bitcast<i32>(x) >> (lane * 6u));",
        "",
        EDGES,
        |lane, x| x.wrapping_shl(lane * 5) ^ x.wrapping_shr(lane * 7) ^ (x as i32).wrapping_shr(lane * 6) as u32,
    );
    each(
        "let i = bitcast<i32>(x); y[lane] = u32(abs(i)) ^ u32(sign(i)) ^ u32(clamp(i, -5, 7)) ^ u32(max(min(i, 3), -3));",
        "",
        EDGES,
        |_, x| {
            let i = x as i32;
            (i.wrapping_abs() ^ i.signum() ^ i.clamp(-5, 7) ^ i.clamp(-3, 3)) as u32
        },
    );
    each(
        "y[lane] = u32(x > 5u) + 2u * u32(bitcast<i32>(x) > 5) + 4u * u32(bitcast<i32>(x) <= -1) + 8u * u32(!(x != 2u));",
        "",
        EDGES,
        |_, x| {
            let i = x as i32;
            u32::from(x > 5) + 2 * u32::from(i > 5) + 4 * u32::from(i <= -1) + 8 * u32::from(x == 2)
        },
    );
}

#[test]
fn bits_are_counted_reversed_and_extracted() {
    each(
        "y[lane] = countOneBits(x) + 100u * countLeadingZeros(x) + 10000u * countTrailingZeros(x);",
        "",
        EDGES,
        |_, x| x.count_ones() + 100 * x.leading_zeros() + 10_000 * x.trailing_zeros(),
    );
    each("y[lane] = reverseBits(x) ^ firstTrailingBit(x) ^ (firstLeadingBit(x) << 8u);", "", EDGES, |_, x| {
        let last = if x == 0 { u32::MAX } else { x.trailing_zeros() };
        let first = if x == 0 { u32::MAX } else { 31 - x.leading_zeros() };
        x.reverse_bits() ^ last ^ (first << 8)
    });
    each("y[lane] = bitcast<u32>(firstLeadingBit(bitcast<i32>(x)));", "", EDGES, |_, x| {
        let x = if (x as i32) < 0 { !x } else { x };
        if x == 0 { u32::MAX } else { 31 - x.leading_zeros() }
    });
    each(
        "y[lane] = extractBits(x, lane * 4u, 6u) ^ bitcast<u32>(extractBits(bitcast<i32>(x), lane * 5u, 40u - lane * 6u));",
        "",
        EDGES,
        |lane, x| {
            let unsigned = |offset: u32, count: u32| {
                let (offset, count) = (offset.min(32), count.min(32 - offset.min(32)));
                (u64::from(x) >> offset) & ((1 << count) - 1)
            };
            let (offset, count) = (lane * 5, (40_u32.wrapping_sub(lane * 6)).min(32_u32.saturating_sub(lane * 5)));
            let signed = match count {
                0 => 0,
                _ => ((x << (32 - offset - count)) as i32 >> (32 - count)) as u32,
            };
            unsigned(lane * 4, 6) as u32 ^ signed
        },
    );
}

#[test]
fn floats_and_conversions_are_those_of_rust() {
    let floats = [0.0, -0.0, 1.5, -2.5, 3.5e9, -3.5e9, f32::NAN, f32::INFINITY];
    let input: [u32; 8] = floats.map(f32::to_bits);
    let f = f32::from_bits;
    each("y[lane] = u32(bitcast<f32>(x)) ^ bitcast<u32>(i32(bitcast<f32>(x)));", "", input, |_, x| {
        f(x) as u32 ^ f(x) as i32 as u32
    });
    each(
        "let a = bitcast<f32>(x); y[lane] = u32(a < 1.0) + 2u * u32(a != a) + 4u * u32(bool(a)) + 8u * u32(a >= -2.5);",
        "",
        input,
        |_, x| {
            let a = f(x);
            u32::from(a < 1.0) + 2 * u32::from(a.is_nan()) + 4 * u32::from(a != 0.0) + 8 * u32::from(a >= -2.5)
        },
    );
    let numbers = [0.5_f32, -0.5, 1.5, -2.5, 3.7, -1e-20, 8.25, 100.0].map(f32::to_bits);
    let with = |expression: &str, expected: &dyn Fn(f32) -> f32| {
        each(&format!("let a = bitcast<f32>(x); y[lane] = bitcast<u32>({expression});"), "", numbers, |_, x| {
            expected(f(x)).to_bits()
        });
    };
    with("a * 3.0 - a / 7.0 + a % 2.0", &|a| a * 3.0 - a / 7.0 + a % 2.0);
    with("floor(a) + 10.0 * ceil(a) + 100.0 * trunc(a) + 1000.0 * round(a)", &|a| {
        a.floor() + 10.0 * a.ceil() + 100.0 * a.trunc() + 1000.0 * a.round_ties_even()
    });
    with("fract(a) + abs(a) + sign(a)", &|a| a - a.floor() + a.abs() + a.signum());
    with("sqrt(abs(a)) + inverseSqrt(abs(a))", &|a| a.abs().sqrt() + 1.0 / a.abs().sqrt());
    with("mix(a, 4.0, 0.25) + step(1.0, a) + saturate(a) + clamp(a, -1.0, 1.0)", &|a| {
        4.0 * 0.25 + a * 0.75 + f32::from(a >= 1.0) + a.clamp(0.0, 1.0) + a.clamp(-1.0, 1.0)
    });
    with("f32(lane < 4u) + f32(i32(lane) - 4) + f32(lane) * 0.0 + a", &|a| {
        let lane = numbers.iter().position(|&number| number == a.to_bits()).unwrap();
        f32::from(lane < 4) + (lane as f32 - 4.0) + 0.0 + a
    });
    // Functions whose last bits the language leaves open.
    let open = of(
        "let a = f32(lane) * 0.1; y[lane] = bitcast<u32>(exp(a) + sin(a) + pow(2.0, a) + atan2(a, 2.0) + log2(a + 1.0));",
        "",
        &[0; 8],
    );
    for (lane, got) in (0..).zip(open) {
        let a = lane as f32 * 0.1;
        let expected = a.exp() + a.sin() + 2_f32.powf(a) + a.atan2(2.0) + (a + 1.0).log2();
        assert!((f(got) - expected).abs() < 1e-5 * expected.abs());
    }
}

#[test]
fn multiply_adds_round_as_chosen() {
    let wgsl = format!("{HEAD}let a = bitcast<f32>(y[lane]); y[lane] = bitcast<u32>(fma(a, a, -(a * a)));\n}}");
    let shader = shader(&wgsl);
    let numbers = [1.000_000_1_f32, 0.1, 3.3, -7.7, 1e-20, 2e10, 12_345.678, 0.333_333_34];
    let input = bits(&numbers);
    let with = |fma| words(&bound(&shader, [1, 1, 1], &[("y", &input)]).fma(fma).run().unwrap(), "y");
    let expected = |fma: fn(f32, f32, f32) -> f32| bits(&numbers.map(|a| fma(a, a, -(a * a))));
    assert_eq!(with(Fma::Separate), expected(|a, b, c| a * b + c));
    assert_eq!(with(Fma::Fused), expected(f32::mul_add));
    assert_ne!(with(Fma::Fused), with(Fma::Separate));
}

#[test]
fn vectors_are_swizzled_selected_and_compared() {
    let body = "let v = vec4<u32>(x, lane, 3u, 4u);
let w = v.wzyx.yzw;
let m = select(v.xyz, w, v.xyz < w);
let i = lane % 3u;
var n = m;
n[i] += 100u;
n.z *= 2u;
y[lane] = n.x + 10u * n.y + 100u * n.z + u32(any(v.xy == vec2(3u, 5u))) + u32(all(v.zw > vec2(2u))) + dot(v.xy, w.yz) + m[i];";
    each(body, "", [5, 4, 3, 2, 1, 0, 9, 8], |lane, x| {
        let v = [x, lane, 3, 4];
        let w = [v[2], v[1], v[0]];
        let m: Vec<u32> = (0..3).map(|i| if v[i] < w[i] { w[i] } else { v[i] }).collect();
        let mut n = m.clone();
        n[lane as usize % 3] += 100;
        n[2] *= 2;
        let dot = v[0] * w[1] + v[1] * w[2];
        n[0] + 10 * n[1] + 100 * n[2] + u32::from(x == 3 || lane == 5) + 1 + dot + m[lane as usize % 3]
    });
}

#[test]
fn matrices_multiply_by_columns() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> m: array<mat3x3<f32>, 2>;
@group(0) @binding(2) var<uniform> u: mat2x3<f32>;
@compute @workgroup_size(2)
fn main(@builtin(local_invocation_index) lane: u32) {
    let product = m[lane] * m[1];
    let v = product * vec3(1.0, 2.0, 3.0) + vec3(1.0, 0.0, 2.0) * m[lane] + (2.0 * m[lane])[lane];
    let w = u * vec2(1.0, 2.0) + u[lane];
    y[lane * 6u] = v.x; y[lane * 6u + 1u] = v.y; y[lane * 6u + 2u] = v.z;
    y[lane * 6u + 3u] = w.x; y[lane * 6u + 4u] = w.y; y[lane * 6u + 5u] = w.z + u[1].x;
}";
    // Columns of three, each padded to four words.
    let m: Vec<f32> = (0..24).map(|i| if i % 4 == 3 { f32::NAN } else { (i * 5 % 7) as f32 }).collect();
    let u: Vec<f32> = vec![1.0, 2.0, 3.0, f32::NAN, 4.0, 5.0, 6.0, f32::NAN];
    let report = run(wgsl, [1, 1, 1], &[("y", &[0; 12]), ("m", &bits(&m)), ("u", &bits(&u))]);
    let at = |i: usize, column: usize, row: usize| m[i * 12 + column * 4 + row];
    let mut expected = Vec::new();
    for lane in 0..2 {
        let product = |column: usize, row: usize| (0..3).map(|i| at(lane, i, row) * at(1, column, i)).sum::<f32>();
        for row in 0..3 {
            let first = (0..3).map(|column| product(column, row) * (column + 1) as f32).sum::<f32>();
            let second = at(lane, row, 0) + 2.0 * at(lane, row, 2);
            expected.push(first + second + 2.0 * at(lane, lane, row));
        }
        for row in 0..3 {
            expected.push(u[row] + 2.0 * u[4 + row] + u[4 * lane + row] + if row == 2 { 4.0 } else { 0.0 });
        }
    }
    assert_eq!(report.buffer("y").unwrap().to_floats(), expected);
}

#[test]
fn structs_lie_in_memory_as_wgsl_lays_them_out() {
    let wgsl = "struct Inner { a: vec3<f32>, b: u32, c: vec2<u32> }
struct Outer { n: u32, inner: array<Inner, 2>, last: vec3<u32>, tail: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<Outer>;
@group(0) @binding(1) var<uniform> given: Outer;
@compute @workgroup_size(2)
fn main(@builtin(local_invocation_index) lane: u32) {
    var one = y[lane];
    one.inner[lane].a.y += given.inner[1u - lane].a.z;
    one.inner[1].c[lane] = given.inner[lane].c[lane] + arrayLength(&y);
    one.last.z = given.tail;
    let inner = one.inner[lane];
    y[lane] = one;
    y[lane].tail = inner.b + given.inner[lane].b + given.inner[1].b;
    y[lane].inner[1u - lane].b = given.n;
}";
    // Words: n at 0; inner at 4 and 12 (a 0 to 2, b 3, c 4 and 5); last at 20; tail at 23; 24 in all.
    let float = |word: u32| (word as f32).to_bits();
    let fill = |first: u32| -> Vec<u32> {
        (first..first + 24).map(|i| if [4, 5, 6, 12, 13, 14].contains(&(i % 24)) { float(i) } else { i }).collect()
    };
    let (given, mut expected) = (fill(0), [fill(24), fill(48)].concat());
    let report = run(wgsl, [1, 1, 1], &[("y", &[expected.clone(), vec![0; 5]].concat()), ("given", &given)]);
    for lane in 0..2 {
        let at = lane * 24;
        let (mine, other) = (4 + 8 * lane, 4 + 8 * (1 - lane));
        let sum = f32::from_bits(expected[at + mine + 1]) + f32::from_bits(given[other + 2]);
        let b = expected[at + mine + 3];
        expected[at + mine + 1] = sum.to_bits();
        expected[at + 12 + 4 + lane] = given[mine + 4 + lane] + 2;
        expected[at + 22] = given[23];
        expected[at + 23] = b + given[mine + 3] + given[15];
        expected[at + other + 3] = given[0];
    }
    let got = words(&report, "y");
    // Padding is not written.
    assert_eq!(got[..48], expected);
    assert_eq!(report.faults, []);
}

#[test]
fn two_views_of_a_uniform_array_do_not_mix() {
    // With i = 0, given[i][j] is word j, given[i * 4 + j].x is word 4 j.
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<uniform> given: array<vec4<u32>, 4>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3<u32>) {
    let i = id.x; let j = id.y + 1u;
    y[0] = given[i][j];
    y[1] = given[i * 4u + j].x;
}";
    let given: Vec<u32> = (0..16).map(|i| i * 10).collect();
    assert_eq!(words(&run(wgsl, [1, 1, 1], &[("y", &[0; 2]), ("given", &given)]), "y"), [10, 40]);
}

#[test]
fn a_private_array_written_at_a_run_time_index_is_read_at_a_constant_one() {
    each("var a = array<u32, 4>(7, 7, 7, 7); a[lane % 4u] = x; y[lane] = a[2];", "", EDGES, |lane, x| {
        if lane % 4 == 2 { x } else { 7 }
    });
    let body = "var a: array<array<vec2<u32>, 3>, 2>; a[lane % 2u][lane % 3u].y = x; a[1][2][lane % 2u] += 5u;
y[lane] = a[1][2].x + a[1][2].y + a[lane / 4u][1].y;";
    each(body, "", [10, 20, 30, 40, 50, 60, 70, 80], |lane, x| {
        let mut a = [[[0; 2]; 3]; 2];
        a[lane as usize % 2][lane as usize % 3][1] = x;
        a[1][2][lane as usize % 2] += 5;
        a[1][2][0] + a[1][2][1] + a[lane as usize / 4][1][1]
    });
}

#[test]
fn functions_return_early_and_write_through_pointers() {
    let items = "var<private> calls: u32 = 100u;
fn inner(p: ptr<function, u32>, n: u32) -> u32 {
    calls += 1u;
    for (var i = 0u; i < n; i++) {
        *p += i;
        if *p > 20u { return i; }
        switch i { case 3u: { return 77u; } case 1u, 2u: { continue; } default: {} }
        *p += 1u;
    }
    if n == 0u { return 55u; } else { *p *= 2u; }
    return n;
}
fn outer(a: ptr<function, array<u32, 3>>, i: u32) -> vec2<u32> {
    if i == 2u { return vec2(1u, 2u); }
    let r = inner(&(*a)[1], i);
    (*a)[2] = r;
    return vec2(r, inner(&(*a)[0], i / 2u));
}";
    each(
        "var a = array<u32, 3>(x, lane, 4u); let r = outer(&a, lane); y[lane] = a[0] + a[1] * 10u + a[2] * 100u + r.x * 1000u + r.y * 10000u + calls * 1000000u;",
        items,
        [0, 5, 9, 30, 2, 1, 8, 3],
        |lane, x| {
            let mut calls = 100;
            let mut inner = |p: &mut u32, n: u32| {
                calls += 1;
                for i in 0..n {
                    *p += i;
                    if *p > 20 {
                        return i;
                    }
                    match i {
                        3 => return 77,
                        1 | 2 => continue,
                        _ => {}
                    }
                    *p += 1;
                }
                if n == 0 {
                    return 55;
                }
                *p *= 2;
                n
            };
            let mut a = [x, lane, 4];
            let r = if lane == 2 {
                [1, 2]
            } else {
                let r = inner(&mut a[1], lane);
                a[2] = r;
                [r, inner(&mut a[0], lane / 2)]
            };
            a[0] + a[1] * 10 + a[2] * 100 + r[0] * 1000 + r[1] * 10_000 + calls * 1_000_000
        },
    );
}

#[test]
fn switches_choose_and_break() {
    let body = "var r = 0u;
switch x {
    case 1u, 7u: { r = 10u; if lane > 3u { break; } r += 1u; }
    default: { r = 20u; }
    case 3u: { r = 30u; }
    case 4u: { }
}
switch 2 { case 2: { if lane == 0u { break; } r += 100u; } default: { r = 9u; } }
var n = 0u;
for (var i = 0u; i < 6u; i++) {
    switch (i + lane) % 3u { case 0u: { continue; } case 1u: { break; } default: { n += 10u; } }
    n += 1u;
}
y[lane] = r * 1000u + n;";
    each(body, "", [1, 2, 3, 4, 7, 7, 0, 9], |lane, x| {
        let mut r = match x {
            1 | 7 => {
                if lane > 3 {
                    10
                } else {
                    11
                }
            }
            3 => 30,
            4 => 0,
            _ => 20,
        };
        r += if lane == 0 { 0 } else { 100 };
        let mut n = 0;
        for i in 0..6 {
            match (i + lane) % 3 {
                0 => continue,
                1 => {}
                _ => n += 10,
            }
            n += 1;
        }
        r * 1000 + n
    });
}

#[test]
fn loops_break_continue_and_shadow() {
    let body = "var sum = 0u;
var i = 0u;
loop {
    if i % 3u == 1u { continue; }
    {
    var i = i * 10u;
    i += lane;
    for (var j = 0u; j < lane; j++) {
        var fresh: u32;
        fresh += j;
        if j == 4u { break; }
        if (j & 1u) == 1u { continue; }
        sum += i + fresh;
    }
    }
    continuing { i++; sum += 1u; break if i >= x; }
}
while sum > 500u { sum -= 100u; }
const table = array<u32, 4>(3u, 1u, 4u, 1u);
y[lane] = sum + table[lane % 4u] * 1000u;";
    each(body, "", [0, 1, 2, 3, 4, 5, 6, 7], |lane, x| {
        let (mut sum, mut i) = (0, 0);
        loop {
            if i % 3 != 1 {
                for j in 0..lane {
                    if j == 4 {
                        break;
                    }
                    if j & 1 == 0 {
                        sum += i * 10 + lane + j;
                    }
                }
            }
            i += 1;
            sum += 1;
            if i >= x {
                break;
            }
        }
        while sum > 500 {
            sum -= 100;
        }
        sum + [3, 1, 4, 1][lane as usize % 4] * 1000
    });
}

#[test]
fn textures_are_loaded_and_stored() {
    let wgsl = "@group(0) @binding(0) var x: texture_2d<f32>;
@group(0) @binding(1) var y: texture_storage_2d<rgba32float, write>;
@compute @workgroup_size(3, 2)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = textureLoad(x, vec2<i32>(id.xy), 0);
    textureStore(y, id.yx, a.wzyx * 2.0);
}";
    let texels: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let shader = shader(wgsl);
    let dispatch = Dispatch::new(&shader, [1, 1, 1]).bind("x", Texture::new(3, 2, Buffer::floats(&texels)));
    let report = dispatch.bind("y", Texture::new(2, 3, Buffer::new(vec![0; 24]))).run().unwrap();
    let mut expected = vec![0.0; 24];
    for (i, &texel) in texels.iter().enumerate() {
        let (x, y) = (i / 4 % 3, i / 12);
        expected[(x * 2 + y) * 4 + 3 - i % 4] = 2.0 * texel;
    }
    assert_eq!(report.texture("y").unwrap().texels().to_floats(), expected);
    assert_eq!((report.texture("y").unwrap().width(), report.texture("y").unwrap().height()), (2, 3));
}

#[test]
fn workgroup_memory_atomics_and_uniform_loads_work() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<storage, read_write> z: array<atomic<i32>, 8>;
var<workgroup> first: u32;
var<workgroup> all: array<vec4<u32>, 8>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
    if lane == 3u { first = y[lane]; }
    all[lane][lane % 4u] = lane;
    let a = workgroupUniformLoad(&first);
    let before = atomicAdd(&z[0], i32(lane) - 4);
    atomicMin(&z[1], i32(lane) - 4);
    atomicMax(&z[2], i32(lane) - 4);
    atomicOr(&z[3], 1 << lane);
    atomicAnd(&z[4], ~(1 << lane));
    atomicXor(&z[5], i32(lane));
    atomicSub(&z[6], 2);
    let last = atomicExchange(&z[7], i32(lane));
    y[lane] = a + u32(before + 100) * 100u + u32(last + 1) * 1000000u + all[7u - lane][(7u - lane) % 4u] * 10u;
}";
    let input: Vec<u32> = (0..8).collect();
    let report = run(wgsl, [1, 1, 1], &[("y", &input), ("z", &[0, 5, (-9_i32) as u32, 0, u32::MAX, 0, 0, u32::MAX])]);
    // Lanes take their turns in order.
    let mut before = 0;
    let expected: Vec<u32> = (0..8_i32)
        .map(|lane| {
            let value = 3 + (before + 100) * 100 + lane * 1_000_000 + (7 - lane) * 10;
            before += lane - 4;
            value as u32
        })
        .collect();
    assert_eq!(words(&report, "y"), expected);
    let z: Vec<i32> = words(&report, "z").iter().map(|&word| word as i32).collect();
    assert_eq!(z, [-4, -4, 3, 255, !255, 0, -16, 7]);
    assert_eq!(report.faults, []);
}

#[test]
fn built_in_values_are_those_of_the_invocation() {
    let wgsl = "struct In { @builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32> }
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(4, 3, 2)
fn main(in: In, @builtin(global_invocation_id) global: vec3<u32>, @builtin(local_invocation_index) index: u32,
        @builtin(num_workgroups) count: vec3<u32>) {
    let same = all(global == in.group * vec3(4u, 3u, 2u) + in.local);
    let at = ((in.group.z * count.y + in.group.y) * count.x + in.group.x) * 24u + index;
    y[at] = u32(same) + 10u * index + 1000u * global.x + 100000u * global.y + 10000000u * global.z;
}";
    let report = run(wgsl, [2, 3, 2], &[("y", &[0; 288])]);
    for (at, word) in (0..).zip(words(&report, "y")) {
        let (group, index) = (at / 24, at % 24);
        let [x, y, z] = [group % 2 * 4 + index % 4, group / 2 % 3 * 3 + index / 4 % 3, group / 6 * 2 + index / 12];
        assert_eq!(word, 1 + 10 * index + 1000 * x + 100_000 * y + 10_000_000 * z);
    }
}
#[test]
fn subgroups_number_their_lanes() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(20)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_size) size: u32,
        @builtin(subgroup_invocation_id) id: u32, @builtin(subgroup_id) number: u32, @builtin(num_subgroups) count: u32) {
    y[lane] = size + 100u * id + 10000u * number + 1000000u * count;
}";
    let shader = shader(wgsl);
    let report = bound(&shader, [1, 1, 1], &[("y", &[0; 20])]).subgroup(8).run().unwrap();
    let expected: Vec<u32> = (0..20).map(|lane| 8 + 100 * (lane % 8) + 10_000 * (lane / 8) + 3_000_000).collect();
    assert_eq!(words(&report, "y"), expected);
}

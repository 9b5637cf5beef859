//! Ordinary shaders, not written for this project: results are those of Rust, and there are no faults.

use crate::{bits, run, shader, words};
use conv1d_simt::{Buffer, Dispatch, Memory, Report, Texture};

fn clean(wgsl: &str, workgroups: [u32; 3], buffers: &[(&str, &[u32])]) -> Report {
    let report = run(wgsl, workgroups, buffers);
    assert_eq!(report.faults, []);
    report
}

/// Numbers that look random.
fn numbers(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| i.wrapping_mul(0x9e37_79b9) >> 12 ^ i.wrapping_mul(0x85eb_ca6b) >> 7).collect()
}

#[test]
fn a_tree_reduction_adds_everything() {
    let wgsl = "@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
var<workgroup> part: array<u32, 128>;
@compute @workgroup_size(128)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    part[lane] = select(0u, x[min(id.x, arrayLength(&x) - 1u)], id.x < arrayLength(&x));
    workgroupBarrier();
    for (var half = 64u; half > 0u; half /= 2u) {
        if lane < half { part[lane] += part[lane + half]; }
        workgroupBarrier();
    }
    if lane == 0u { y[group.x] = part[0]; }
}";
    let x = numbers(300);
    let report = clean(wgsl, [3, 1, 1], &[("x", &x), ("y", &[0; 3])]);
    let sum = |part: &[u32]| part.iter().fold(0_u32, |a, &b| a.wrapping_add(b));
    assert_eq!(words(&report, "y"), x.chunks(128).map(sum).collect::<Vec<_>>());
    assert_eq!(report.counts.barriers, 3.0 * 8.0);
}

#[test]
fn scans_give_sums_of_all_before() {
    let hillis_steele = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<workgroup> a: array<u32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    a[lane] = y[lane];
    for (var by = 1u; by < 256u; by <<= 1u) {
        workgroupBarrier();
        var sum = a[lane];
        if lane >= by { sum += a[lane - by]; }
        workgroupBarrier();
        a[lane] = sum;
    }
    y[lane] = a[lane];
}";
    let x: Vec<u32> = numbers(256).iter().map(|word| word % 1000).collect();
    let mut sum = 0;
    let inclusive: Vec<u32> = x
        .iter()
        .map(|&word| {
            sum += word;
            sum
        })
        .collect();
    assert_eq!(words(&clean(hillis_steele, [1, 1, 1], &[("y", &x)]), "y"), inclusive);
    let blelloch = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<workgroup> a: array<u32, 256>;
@compute @workgroup_size(128)
fn main(@builtin(local_invocation_index) lane: u32) {
    a[2u * lane] = y[2u * lane];
    a[2u * lane + 1u] = y[2u * lane + 1u];
    var offset = 1u;
    for (var d = 128u; d > 0u; d >>= 1u) {
        workgroupBarrier();
        if lane < d { a[offset * (2u * lane + 2u) - 1u] += a[offset * (2u * lane + 1u) - 1u]; }
        offset *= 2u;
    }
    if lane == 0u { a[255] = 0u; }
    for (var d = 1u; d < 256u; d *= 2u) {
        offset >>= 1u;
        workgroupBarrier();
        if lane < d {
            let i = offset * (2u * lane + 1u) - 1u;
            let j = offset * (2u * lane + 2u) - 1u;
            let t = a[i];
            a[i] = a[j];
            a[j] += t;
        }
    }
    workgroupBarrier();
    y[2u * lane] = a[2u * lane];
    y[2u * lane + 1u] = a[2u * lane + 1u];
}";
    let exclusive: Vec<u32> = inclusive.iter().zip(&x).map(|(sum, word)| sum - word).collect();
    assert_eq!(words(&clean(blelloch, [1, 1, 1], &[("y", &x)]), "y"), exclusive);
}

#[test]
fn a_transposition_has_conflicts_unless_its_tile_is_padded() {
    let wgsl = "@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
var<workgroup> tile: array<array<f32, WIDTH>, 32>;
@compute @workgroup_size(32, 8)
fn main(@builtin(local_invocation_id) at: vec3<u32>, @builtin(workgroup_id) id: vec3<u32>) {
    for (var i = 0u; i < 32u; i += 8u) { tile[at.y + i][at.x] = x[(id.y * 32u + at.y + i) * 64u + id.x * 32u + at.x]; }
    workgroupBarrier();
    for (var i = 0u; i < 32u; i += 8u) { y[(id.x * 32u + at.y + i) * 64u + id.y * 32u + at.x] = tile[at.x][at.y + i]; }
}";
    let x = numbers(64 * 64);
    let expected: Vec<u32> = (0..64 * 64).map(|i| x[i % 64 * 64 + i / 64]).collect();
    for (width, conflicts) in [("32", 32.0), ("33", 1.0), ("34", 2.0)] {
        let report = clean(&wgsl.replace("WIDTH", width), [2, 2, 1], &[("x", &x), ("y", &[0; 4096])]);
        assert_eq!(words(&report, "y"), expected);
        assert_eq!(report.counts.accesses(Memory::Workgroup, false).conflicts(), conflicts);
        assert_eq!(report.counts.accesses(Memory::Workgroup, true).conflicts(), 1.0);
        // All sectors are moved once each way.
        assert_eq!(report.counts.variable("x", false).sectors, 512.0);
        assert_eq!(report.counts.variable("y", true).sectors, 512.0);
    }
}

#[test]
fn a_histogram_counts_with_atomics() {
    let wgsl = "@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<atomic<u32>, 16>;
var<workgroup> bins: array<atomic<u32>, 16>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(num_workgroups) all: vec3<u32>) {
    if lane < 16u { atomicStore(&bins[lane], 0u); }
    workgroupBarrier();
    for (var i = id.x; i < arrayLength(&x); i += all.x * 64u) { atomicAdd(&bins[x[i] % 16u], 1u); }
    workgroupBarrier();
    if lane < 16u { atomicAdd(&y[lane], atomicLoad(&bins[lane])); }
}";
    let x = numbers(1000);
    let mut expected = vec![0; 16];
    x.iter().for_each(|&word| expected[word as usize % 16] += 1);
    assert_eq!(words(&clean(wgsl, [4, 1, 1], &[("x", &x), ("y", &[0; 16])]), "y"), expected);
}

#[test]
fn a_bitonic_sort_sorts() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<workgroup> a: array<u32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) i: u32) {
    a[i] = y[i];
    workgroupBarrier();
    for (var k = 2u; k <= 256u; k *= 2u) {
        for (var j = k / 2u; j > 0u; j /= 2u) {
            let other = i ^ j;
            if other > i {
                let ascending = (i & k) == 0u;
                if (a[i] > a[other]) == ascending {
                    let t = a[i];
                    a[i] = a[other];
                    a[other] = t;
                }
            }
            workgroupBarrier();
        }
    }
    y[i] = a[i];
}";
    let x = numbers(256);
    let mut sorted = x.clone();
    sorted.sort_unstable();
    assert_eq!(words(&clean(wgsl, [1, 1, 1], &[("y", &x)]), "y"), sorted);
}

#[test]
fn life_goes_on() {
    let wgsl = "@group(0) @binding(0) var<uniform> size: vec2<u32>;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
fn at(p: vec2<i32>) -> u32 {
    let s = vec2<i32>(size);
    let q = (p + s) % s;
    return x[u32(q.y) * size.x + u32(q.x)];
}
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if any(id.xy >= size) { return; }
    var n = 0u;
    for (var dy = -1; dy <= 1; dy++) {
        for (var dx = -1; dx <= 1; dx++) {
            if dx == 0 && dy == 0 { continue; }
            n += at(vec2<i32>(id.xy) + vec2(dx, dy));
        }
    }
    let i = id.y * size.x + id.x;
    switch n { case 2u: { y[i] = x[i]; } case 3u: { y[i] = 1u; } default: { y[i] = 0u; } }
}";
    let (width, height) = (19_usize, 13_usize);
    let x: Vec<u32> = numbers(width * height).iter().map(|word| word >> 3 & 1).collect();
    let expected: Vec<u32> = (0..width * height)
        .map(|i| {
            let near = |d: usize| {
                x[(i / width + height + d / 3 - 1) % height * width + (i % width + width + d % 3 - 1) % width]
            };
            let n: u32 = (0..9).filter(|&d| d != 4).map(near).sum();
            u32::from(n == 3 || (n == 2 && x[i] == 1))
        })
        .collect();
    let size = [width as u32, height as u32];
    let report = clean(wgsl, [3, 2, 1], &[("size", &size), ("x", &x), ("y", &vec![9; width * height])]);
    assert_eq!(words(&report, "y"), expected);
}

#[test]
fn bodies_attract_each_other() {
    let wgsl = "struct Body { position: vec3<f32>, mass: f32, velocity: vec3<f32> }
@group(0) @binding(0) var<storage, read> x: array<Body>;
@group(0) @binding(1) var<storage, read_write> y: array<Body>;
var<workgroup> near: array<vec4<f32>, 16>;
@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var body = x[id.x];
    var force = vec3<f32>();
    for (var first = 0u; first < arrayLength(&x); first += 16u) {
        near[lane] = vec4(x[first + lane].position, x[first + lane].mass);
        workgroupBarrier();
        for (var i = 0u; i < 16u; i++) {
            let d = near[i].xyz - body.position;
            let r = dot(d, d) + 0.01;
            force += d * (near[i].w / (r * sqrt(r)));
        }
        workgroupBarrier();
    }
    body.velocity += force * 0.01;
    body.position += body.velocity * 0.01;
    y[id.x] = body;
}";
    let x: Vec<f32> = numbers(32 * 8).iter().map(|word| (word % 1000) as f32 / 500.0 - 1.0).collect();
    let report = clean(wgsl, [2, 1, 1], &[("x", &bits(&x)), ("y", &[0; 256])]);
    let got = report.buffer("y").unwrap().to_floats();
    for body in 0..32 {
        let mut force = [0.0; 3];
        for other in 0..32 {
            let d: Vec<f32> = (0..3).map(|i| x[other * 8 + i] - x[body * 8 + i]).collect();
            let r = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + 0.01;
            (0..3).for_each(|i| force[i] += d[i] * (x[other * 8 + 3] / (r * r.sqrt())));
        }
        for i in 0..3 {
            let velocity = x[body * 8 + 4 + i] + force[i] * 0.01;
            assert_eq!(got[body * 8 + 4 + i], velocity);
            assert_eq!(got[body * 8 + i], x[body * 8 + i] + velocity * 0.01);
        }
    }
}

#[test]
fn mandelbrot_diverges() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let c = vec2<f32>(id.xy) / 8.0 - vec2(1.5, 1.0);
    var z = vec2<f32>();
    var n = 0u;
    while n < 200u && z.x * z.x + z.y * z.y <= 4.0 {
        z = vec2(z.x * z.x - z.y * z.y, 2.0 * z.x * z.y) + c;
        n += 1u;
    }
    y[id.y * 16u + id.x] = n;
}";
    let report = clean(wgsl, [2, 2, 1], &[("y", &[0; 256])]);
    let expected: Vec<u32> = (0..256)
        .map(|i| {
            let c = [(i % 16) as f32 / 8.0 - 1.5, (i / 16) as f32 / 8.0 - 1.0];
            let (mut z, mut n) = ([0.0_f32; 2], 0);
            while n < 200 && z[0] * z[0] + z[1] * z[1] <= 4.0 {
                z = [z[0] * z[0] - z[1] * z[1] + c[0], 2.0 * z[0] * z[1] + c[1]];
                n += 1;
            }
            n
        })
        .collect();
    assert_eq!(words(&report, "y"), expected);
    assert_eq!(report.counts.iterations, f64::from(expected.iter().sum::<u32>()));
    assert_eq!(report.counts.most_iterations, 200.0);
    assert!(report.counts.idle() > 0.2);
}

#[test]
fn a_sparse_matrix_multiplies_a_vector() {
    let wgsl = "@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= arrayLength(&y) { return; }
    var sum = 0.0;
    for (var i = rows[row]; i < rows[row + 1u]; i++) { sum += values[i] * x[columns[i]]; }
    y[row] = sum;
}";
    let mut rows = vec![0];
    (0..50_u32).for_each(|row| rows.push(rows[row as usize] + row * 7 % 9));
    let count = rows[50] as usize;
    let columns: Vec<u32> = numbers(count).iter().map(|word| word % 40).collect();
    let values: Vec<f32> = (0..count).map(|i| i as f32 * 0.25 - 3.0).collect();
    let x: Vec<f32> = (0..40).map(|i| 1.0 / (i + 1) as f32).collect();
    let buffers: [(&str, &[u32]); 5] =
        [("rows", &rows), ("columns", &columns), ("values", &bits(&values)), ("x", &bits(&x)), ("y", &[0; 50])];
    let report = clean(wgsl, [2, 1, 1], &buffers);
    let row = |row: usize| {
        let terms = (rows[row] as usize..rows[row + 1] as usize).map(|i| values[i] * x[columns[i] as usize]);
        terms.fold(0.0, |a, b| a + b)
    };
    assert_eq!(report.buffer("y").unwrap().to_floats(), (0..50).map(row).collect::<Vec<f32>>());
}

#[test]
fn a_box_blur_averages_texels() {
    let wgsl = "@group(0) @binding(0) var x: texture_2d<f32>;
@group(0) @binding(1) var y: texture_storage_2d<rgba32float, write>;
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = vec2(10, 7);
    let at = vec2<i32>(id.xy);
    if any(at >= size) { return; }
    var sum = vec4<f32>();
    for (var j = -1; j <= 1; j++) {
        for (var i = -1; i <= 1; i++) { sum += textureLoad(x, clamp(at + vec2(i, j), vec2(0), size - 1), 0); }
    }
    textureStore(y, at, sum / 9.0);
}";
    let texels: Vec<f32> = numbers(280).iter().map(|word| (word % 256) as f32).collect();
    let shader = shader(wgsl);
    let dispatch = Dispatch::new(&shader, [2, 1, 1]).bind("x", Texture::new(10, 7, Buffer::floats(&texels)));
    let report = dispatch.bind("y", Texture::new(10, 7, Buffer::new(vec![0; 280]))).run().unwrap();
    assert_eq!(report.faults, []);
    let expected: Vec<f32> = (0..280)
        .map(|word| {
            let near = |d: usize| {
                let (x, y) = ((word / 4 % 10 + d % 3).clamp(1, 10) - 1, (word / 40 + d / 3).clamp(1, 7) - 1);
                texels[(y * 10 + x) * 4 + word % 4]
            };
            (0..9).map(near).sum::<f32>() / 9.0
        })
        .collect();
    assert_eq!(report.texture("y").unwrap().texels().to_floats(), expected);
}

#[test]
fn a_fourier_transform_is_that_of_the_definition() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<vec2<f32>>;
var<workgroup> a: array<vec2<f32>, 64>;
fn times(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> { return vec2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) lane: u32) {
    for (var i = lane; i < 64u; i += 32u) { a[reverseBits(i) >> 26u] = y[i]; }
    workgroupBarrier();
    for (var half = 1u; half < 64u; half *= 2u) {
        let k = lane % half;
        let i = (lane - k) * 2u + k;
        let angle = -3.14159265 * f32(k) / f32(half);
        let t = times(a[i + half], vec2(cos(angle), sin(angle)));
        let u = a[i];
        a[i] = u + t;
        a[i + half] = u - t;
        workgroupBarrier();
    }
    for (var i = lane; i < 64u; i += 32u) { y[i] = a[i]; }
}";
    let x: Vec<f32> = numbers(128).iter().map(|word| (word % 100) as f32 / 50.0 - 1.0).collect();
    let got = clean(wgsl, [1, 1, 1], &[("y", &bits(&x))]).buffer("y").unwrap().to_floats();
    for k in 0..64 {
        let (mut re, mut im) = (0.0, 0.0);
        for n in 0..64 {
            let angle = -std::f64::consts::TAU * f64::from(k * n % 64) / 64.0;
            let (a, b) = (f64::from(x[2 * n as usize]), f64::from(x[2 * n as usize + 1]));
            re += a * angle.cos() - b * angle.sin();
            im += a * angle.sin() + b * angle.cos();
        }
        assert!((f64::from(got[2 * k as usize]) - re).abs() < 1e-4);
        assert!((f64::from(got[2 * k as usize + 1]) - im).abs() < 1e-4);
    }
}

//! Counts of small shaders, worked out on paper.

use crate::{bound, shader};
use conv1d_simt::{Accesses, Buffer, Counts, Dispatch, Memory, Operations, Shader, Workgroups};

const Y: &str = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n";

fn counts_of(wgsl: &str, workgroups: [u32; 3], words: usize, subgroup: u32) -> Counts {
    let shader = shader(wgsl);
    let report = bound(&shader, workgroups, &[("y", &vec![0; words])]).subgroup(subgroup).run().unwrap();
    assert_eq!(report.faults, []);
    report.counts
}

/// A body of one workgroup of 64 lanes.
fn of_body(body: &str, words: usize) -> Counts {
    let main = "@compute @workgroup_size(64)\nfn main(@builtin(local_invocation_index) lane: u32) {";
    counts_of(&format!("{Y}{main}\n{body}\n}}"), [1, 1, 1], words, 32)
}

fn operations(of: [f64; 5]) -> Operations {
    let [multiply_adds, floats, integers, divisions, specials] = of;
    Operations { multiply_adds, floats, integers, products: 0.0, divisions, specials }
}

#[test]
fn operations_are_counted_by_kind() {
    // 2 multiply-adds; 3 floats: a product, a sum, a conversion; 1 integer: lane / 4 is a shift; 2 divisions; 2 specials: sqrt, /.
    let body = "let x = f32(lane);
let a = fma(x, x, 2.0);
let b = fma(a, x, a * 3.0) + 1.0;
let q = lane / (lane / 4u);
let r = q % lane;
y[r] = sqrt(b) / a;";
    let main =
        format!("{Y}@compute @workgroup_size(64)\nfn main(@builtin(local_invocation_index) lane: u32) {{\n{body}\n}}");
    // Lanes 0 to 3 divide by zero, which gives the dividend; several store to one word: counts do not care.
    let shader = shader(&main);
    let counts = bound(&shader, [3, 1, 1], &[("y", &[0; 64])]).counts_only().run().unwrap().counts;
    let each = [2.0, 3.0, 1.0, 2.0, 2.0];
    assert_eq!(counts.lanes, operations(each.map(|count| count * 64.0 * 3.0)));
    assert_eq!(counts.subgroups, operations(each.map(|count| count * 2.0 * 3.0)));
    assert_eq!(counts.scalars, Operations::default());
    assert_eq!(counts.lanes.total(), 10.0 * 192.0);
}

#[test]
fn idle_lanes_are_a_share_of_their_subgroups() {
    let wgsl = format!(
        "{Y}@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {{
    if lane < 44u {{
        y[lane] = fma(y[lane], 2.0, 1.0);
    }}
}}"
    );
    // Of 44 active lanes: subgroups with an active one, and their lanes.
    for (subgroup, active) in [(4, 11.0), (8, 6.0), (16, 3.0), (32, 2.0), (64, 1.0)] {
        let counts = counts_of(&wgsl, [1, 1, 1], 64, subgroup);
        assert_eq!(counts.lanes.multiply_adds, 44.0);
        assert_eq!(counts.subgroups.multiply_adds, active);
        assert_eq!(counts.idle(), 1.0 - 44.0 / (active * f64::from(subgroup)));
        // The comparison is of all lanes.
        assert_eq!(counts.lanes.integers, 64.0);
        assert_eq!(counts.subgroups.integers, 64.0 / f64::from(subgroup));
        assert_eq!(counts.variable("y", false).requests, active);
    }
}

#[test]
fn operations_on_values_that_all_lanes_share_are_apart() {
    let wgsl = format!(
        "{Y}@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {{
    let base = id.x * 3u + 1u;
    let scale = y[base] * 2.0;
    y[lane + 64u] = scale * f32(lane);
}}"
    );
    let counts = counts_of(&wgsl, [1, 1, 1], 128, 32);
    // For each of 2 subgroups: a product and a sum of integers, a product of floats.
    assert_eq!(counts.scalars, Operations { products: 2.0, ..operations([0.0, 2.0, 2.0, 0.0, 0.0]) });
    // For each lane: a sum of integers; a conversion and a product of floats.
    assert_eq!(counts.lanes, operations([0.0, 128.0, 64.0, 0.0, 0.0]));
}

#[test]
fn equal_operations_count_once_and_constants_not_at_all() {
    let counts =
        of_body("let a = f32(lane * 12u); let b = f32(lane * 12u); y[lane * 12u / 12u] = (a + b) * f32(3 * 4);", 64);
    // lane * 12; / 12 is a product, a shift and a sum; a conversion, a sum, a product.
    assert_eq!(counts.lanes, Operations { products: 128.0, ..operations([0.0, 192.0, 128.0, 0.0, 0.0]) });
}

fn accesses(of: [f64; 5]) -> Accesses {
    let [requests, uniform, bytes, sectors, lines] = of;
    // Here all requests are uniform, or none is.
    let uniform_sectors = if uniform > 0.0 { sectors } else { 0.0 };
    Accesses { requests, uniform, uniform_sectors, bytes, sectors, lines, ..Accesses::default() }
}

#[test]
fn sectors_and_lines_follow_the_stride() {
    // Sectors of a subgroup of 32 lanes, and lines; two subgroups.
    for (stride, offset, sectors, lines) in [
        (1, 0, 4.0, 1.0),
        // One word further, a fifth sector and a second line.
        (1, 1, 5.0, 2.0),
        (1, 8, 4.0, 2.0),
        (2, 0, 8.0, 2.0),
        (8, 0, 32.0, 8.0),
        (32, 0, 32.0, 32.0),
        (33, 0, 32.0, 32.0),
    ] {
        let body = format!("y[lane * {stride}u + {offset}u] = f32(lane);");
        let counts = of_body(&body, 64 * stride + offset);
        let expected = accesses([2.0, 0.0, 256.0, 2.0 * sectors, 2.0 * lines]);
        assert_eq!(counts.accesses(Memory::Storage, true), expected, "{stride} {offset}");
        assert_eq!(expected.sector_bytes_per_byte(), 64.0 * sectors / 256.0);
    }
}

#[test]
fn vectors_are_one_access() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) { y[lane] = y[lane] + 1.0; }";
    let counts = counts_of(wgsl, [1, 1, 1], 256, 32);
    // 512 bytes each subgroup.
    let expected = accesses([2.0, 0.0, 1024.0, 32.0, 8.0]);
    assert_eq!((counts.variable("y", false), counts.variable("y", true)), (expected, expected));
    // vec3 is 12 bytes of 16: all sectors, three quarters of the bytes.
    let counts = counts_of(&wgsl.replace("vec4", "vec3"), [1, 1, 1], 256, 32);
    assert_eq!(counts.variable("y", false), accesses([2.0, 0.0, 768.0, 32.0, 8.0]));
}

#[test]
fn accesses_at_one_address_are_uniform() {
    // Of 2 subgroups, each with one sector; the lanes ask for 4 bytes each.
    let counts = of_body("let a = y[3]; y[lane + 64u] = a;", 128);
    assert_eq!(counts.variable("y", false), accesses([2.0, 2.0, 256.0, 2.0, 2.0]));
    // The lanes of each subgroup have an address in common, but the two subgroups have different ones.
    let counts = of_body("let a = y[lane / 32u]; y[lane + 64u] = a;", 128);
    assert_eq!(counts.variable("y", false), accesses([2.0, 2.0, 256.0, 2.0, 2.0]));
    let counts = of_body("let a = y[lane / 16u]; y[lane + 64u] = a;", 128);
    assert_eq!(counts.variable("y", false), accesses([2.0, 0.0, 256.0, 2.0, 2.0]));
}

#[test]
fn footprints_are_sectors_that_are_touched_once() {
    let wgsl = format!(
        "{Y}@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {{
    var sum = 0.0;
    for (var i = 0u; i < 4u; i++) {{ sum += y[lane + i]; }}
    y[128u + id.x * 64u + lane] = sum;
}}"
    );
    let counts = counts_of(&wgsl, [3, 1, 1], 320, 32);
    // 67 words are read by each workgroup: 9 sectors, the same in all. 8 sectors are written by each, different ones.
    assert_eq!(counts.footprints["y"].workgroup_sectors, 3.0 * (9.0 + 8.0));
    assert_eq!(counts.footprints["y"].sectors, 9.0 + 3.0 * 8.0);
    // The lanes ask for 4 words each: a subgroup moves 4 sectors, or 5 with an offset.
    assert_eq!(counts.variable("y", false).bytes, 3.0 * 64.0 * 16.0);
    assert_eq!(counts.variable("y", false).sectors, 3.0 * 2.0 * (4.0 + 3.0 * 5.0));
}

#[test]
fn bank_conflicts_are_cycles() {
    let with = |ty: &str, size: u32, stride: u32| {
        let wgsl = format!(
            "var<workgroup> tile: array<{ty}, {size}>;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) lane: u32) {{ tile[lane * {stride}u] = {ty}(f32(lane)); }}"
        );
        let shader = shader(&wgsl);
        let counts = bound(&shader, [1, 1, 1], &[]).run().unwrap().counts;
        let accesses = counts.accesses(Memory::Workgroup, true);
        assert_eq!(accesses.conflicts(), accesses.cycles / accesses.ideal_cycles);
        assert_eq!((accesses.requests, accesses.sectors), (1.0, 0.0));
        (accesses.cycles, accesses.ideal_cycles, counts.workgroup_bytes)
    };
    for ways in [1, 2, 4, 8, 16, 32] {
        assert_eq!(with("f32", 32 * ways, ways), (f64::from(ways), 1.0, 128 * ways));
    }
    // Rows of 32 words with one word of padding.
    assert_eq!(with("f32", 33 * 32, 33), (1.0, 1.0, 4224));
    // Vectors side by side: 64 and 128 words through 32 banks.
    assert_eq!(with("vec2<f32>", 32, 1), (2.0, 2.0, 256));
    assert_eq!(with("vec4<f32>", 32, 1), (4.0, 4.0, 512));
    // Every second vector of four: 8 lanes at a time reach half of the banks.
    assert_eq!(with("vec4<f32>", 64, 2), (8.0, 4.0, 1024));
}

#[test]
fn lanes_that_read_one_word_do_not_conflict() {
    let wgsl = format!(
        "{Y}var<workgroup> tile: array<f32, 64>;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) lane: u32) {{
    tile[lane] = 1.0; tile[lane + 32u] = 2.0;
    workgroupBarrier();
    y[lane] = tile[0] + tile[lane / 16u];
}}"
    );
    let accesses = counts_of(&wgsl, [1, 1, 1], 32, 32).accesses(Memory::Workgroup, false);
    assert_eq!((accesses.requests, accesses.uniform, accesses.cycles), (2.0, 1.0, 2.0));
}

#[test]
fn barriers_are_of_workgroups() {
    let wgsl = "@compute @workgroup_size(64)
fn main() { for (var i = 0u; i < 5u; i++) { workgroupBarrier(); } storageBarrier(); }";
    let shader = shader(wgsl);
    assert_eq!(bound(&shader, [7, 1, 1], &[]).run().unwrap().counts.barriers, 42.0);
}

#[test]
fn iterations_of_loops_are_of_lanes() {
    // Unrolled: 5 iterations of each of 64 lanes.
    let counts = of_body("var a = 0.0; for (var i = 0u; i < 5u; i++) { a += y[lane]; } y[lane] = a;", 64);
    assert_eq!((counts.iterations, counts.most_iterations), (320.0, 5.0));
    assert_eq!(counts.lanes.integers, 0.0);
    // 5 loads, 5 sums. (0 + y is not y where y is -0.)
    assert_eq!((counts.variable("y", false).requests, counts.lanes.floats), (10.0, 320.0));
    // Rolled: lane % 8 iterations, 0 to 7 of 8 lanes each; the longest has 7. The condition is computed once more than that.
    let counts = of_body("var a = 0.0; for (var i = 0u; i < lane % 8u; i++) { a += 1.0; } y[lane] = a;", 64);
    assert_eq!((counts.iterations, counts.most_iterations), (8.0 * 28.0, 7.0));
    assert_eq!(counts.lanes.floats, 8.0 * 28.0);
    // lane % 8 in front of the loop; in it, comparisons and sums.
    assert_eq!(counts.lanes.integers, 64.0 + (8.0 * 28.0 + 64.0) + 8.0 * 28.0);
    // Each of 2 subgroups stays for 7.
    assert_eq!(counts.subgroups.floats, 14.0);
    assert_eq!(counts.idle(), 1.0 - counts.lanes.total() / (32.0 * counts.subgroups.total()));
}

#[test]
fn private_arrays_at_run_time_indices_are_counted() {
    let body = "var a: array<f32, 4>;
for (var i = 0u; i < 4u; i++) { a[i] = y[lane + i]; }
y[lane + 100u] = INDEX;";
    let counts = of_body(&body.replace("INDEX", "a[3]"), 164);
    assert_eq!(counts.dynamic_registers, 0.0);
    let counts = of_body(&body.replace("INDEX", "a[lane % 4u] + a[3]"), 164);
    assert_eq!(counts.dynamic_registers, 2.0);
}

#[test]
fn live_registers_are_those_still_to_be_used() {
    // Eight loaded values are alive at once, and the index.
    let body = "let a = y[lane]; let b = y[lane + 64u]; let c = y[lane + 128u]; let d = y[lane + 192u];
let e = y[lane + 256u]; let f = y[lane + 320u]; let g = y[lane + 384u]; let h = y[lane + 448u];
y[lane] = a * b + c * d + e * f + g * h;";
    let counts = of_body(body, 512);
    assert!((8..=10).contains(&counts.live_registers), "{}", counts.live_registers);
    assert_eq!(counts.live_scalars, 0);
}

/// A shader with all kinds of things, the same in all workgroups.
const MIXED: &str = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
var<workgroup> tile: array<f32, 128>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {
    let first = id.x * 64u;
    tile[lane * 2u % 127u] = y[first + lane];
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < lane % 5u; i++) {
        sum = fma(sum, 0.5, tile[(lane * 2u + i * 2u) % 126u % 127u & 126u]);
    }
    if lane < 40u { sum = sqrt(sum); }
    y[first + lane] = sum;
}";

#[test]
fn two_runs_are_equal() {
    let shader = shader(MIXED);
    let run = || bound(&shader, [9, 1, 1], &[("y", &[1; 576])]).run().unwrap();
    let (a, b) = (run(), run());
    assert_eq!((&a.counts, &a.faults, a.buffer("y")), (&b.counts, &b.faults, b.buffer("y")));
}

#[test]
fn counts_alone_are_those_of_the_full_run() {
    let shader = shader(MIXED);
    for subgroup in [4, 8, 16, 32, 64] {
        let dispatch = bound(&shader, [9, 1, 1], &[("y", &[1; 576])]).subgroup(subgroup);
        let full = dispatch.clone().run().unwrap().counts;
        assert_eq!(dispatch.clone().checks_only().run().unwrap().counts, full);
        assert_eq!(dispatch.counts_only().run().unwrap().counts, full);
    }
}

#[test]
fn a_sample_of_equal_workgroups_gives_the_counts_of_all() {
    let shader = shader(MIXED);
    let dispatch = bound(&shader, [100, 1, 1], &[("y", &[1; 6400])]);
    let all = dispatch.clone().run().unwrap().counts;
    for most in [1, 2, 3, 7, 99, 100, 1000] {
        let mut sample = dispatch.clone().workgroups(Workgroups::Sample(most)).run().unwrap().counts;
        assert_eq!(sample.counted, u64::from(most.min(100)));
        // Sectors of the workgroups that were run.
        assert_eq!(sample.footprints["y"].sectors, 8.0 * f64::from(most.min(100)));
        sample.counted = all.counted;
        sample.footprints.clone_from(&all.footprints);
        assert_eq!(sample, all, "{most}");
    }
}

#[test]
fn a_sample_has_the_first_and_the_last_workgroup() {
    // Workgroup 0 and the last have work of their own: 1 and 2 multiply-adds a lane.
    let wgsl = format!(
        "{Y}@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>,
        @builtin(num_workgroups) all: vec3<u32>) {{
    var a = f32(lane);
    if id.x == 0u {{ a = fma(a, a, 1.0); }}
    if id.x == all.x - 1u {{ a = fma(fma(a, a, 1.0), a, a); }}
    y[id.x * 64u + lane] = a;
}}"
    );
    let shader = shader(&wgsl);
    let dispatch = bound(&shader, [50, 1, 1], &[("y", &[0; 3200])]);
    let counts = dispatch.workgroups(Workgroups::Sample(5)).run().unwrap().counts;
    assert_eq!((counts.lanes.multiply_adds, counts.counted, counts.workgroups), (192.0, 5, 50.0));
}

/// Loops of many iterations, each with the counts of every iteration run. Addresses advance by one word, by odd numbers, by whole lines;
/// loops are nested, inclusive, signed, and step by more than one.
#[test]
fn repeated_iterations_are_counted_exactly() {
    let bodies = [
        "for (var i = 0u; i < n; i++) { sum += y[lane + i]; }",
        "for (var i = 0u; i <= n; i += 3u) { sum += y[lane * 3u + i * 5u]; }",
        "for (var i = 0; i < i32(n); i++) { sum += y[lane + u32(i) * 32u]; }",
        "var at = lane; for (var i = 0u; i < n; i++) { sum = fma(y[at], y[i], sum); at += 7u; }",
        "for (var i = 0u; i < n; i++) { for (var j = 0u; j < m; j++) { sum += y[i * 8u + j + lane]; } }",
        "for (var i = 0u; i < n; i++) { staged[lane * 2u] = y[lane + i]; workgroupBarrier(); sum += staged[127u - lane * 2u - 1u]; workgroupBarrier(); }",
        "var at = 0u; for (var i = 0u; i < n; i++) { for (var j = 0u; j < m; j++) { sum += y[at + lane]; at += 1u; } at += 4u; }",
        // These do not repeat themselves: a condition or an address depends on the counter in another way.
        "for (var i = 0u; i < n; i++) { if (i % 7u == 0u) { sum += y[lane + i]; } }",
        "for (var i = 0u; i < n; i++) { sum += y[(i * i + lane) % 5000u]; }",
        "for (var i = 0u; i < n; i++) { if (lane < i) { sum += y[lane + i]; } }",
        "for (var i = 0u; i < n; i++) { for (var j = 0u; j < i % 5u; j++) { sum += y[i + j + lane]; } }",
        "for (var i = 1u; i < n; i *= 2u) { sum += y[i + lane]; }",
        "var at = lane; for (var i = 0u; i < n; i++) { at = u32(y[at] * 0.0) + i; sum += y[at]; }",
    ];
    for (n, m) in [(1000, 3), (192, 5), (193, 2), (225, 7), (31, 1)] {
        for body in bodies {
            let shader = Shader::new(&format!(
                "@group(0) @binding(0) var<uniform> sizes: vec2<u32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> z: array<f32>;
var<workgroup> staged: array<f32, 128>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {{
    let n = sizes.x;
    let m = sizes.y;
    var sum = 0.0;
    {body}
    z[lane] = sum;
}}"
            ))
            .unwrap();
            let dispatch = Dispatch::new(&shader, [1, 1, 1])
                .bind("sizes", Buffer::new(vec![n, m]))
                .bind("y", Buffer::new(vec![0; 40_000]))
                .bind("z", Buffer::new(vec![0; 64]));
            let quick = dispatch.clone().counts_only().run().unwrap();
            let every = dispatch.clone().counts_only().every_iteration().run().unwrap();
            let full = dispatch.run().unwrap();
            assert_eq!(quick.faults, [], "{body}");
            // Sectors are estimates: those of iterations that were not run are not known, so that the run after them finds some again.
            let of = |counts: &Counts| {
                let mut counts = counts.clone();
                let fetched = std::mem::take(&mut counts.footprints)["y"].workgroup_sectors;
                (counts, fetched)
            };
            let ((quick, fetched), (every, all_fetched)) = (of(&quick.counts), of(&every.counts));
            assert_eq!(quick, every, "{body} {n} {m}");
            assert_eq!(every, of(&full.counts).0, "{body} {n} {m}");
            let more = (fetched - all_fetched) / all_fetched;
            assert!((0.0..=0.25).contains(&more), "{body} {n}: {fetched} of {all_fetched}");
        }
    }
}

/// A product that only one sum uses is a part of a multiply-add, whichever its place in the sum. One that is used elsewhere too is not.
#[test]
fn products_join_sums() {
    let body = "let x = f32(lane);
let a = x * 3.0 + 1.0;
let b = 2.0 - a * x;
let c = x * 5.0;
y[lane] = b + c;
y[lane + 64u] = c;";
    // Multiply-adds for a and b; a conversion, the product c and the last sum; the address lane + 64.
    assert_eq!(of_body(body, 128).lanes, operations([128.0, 192.0, 64.0, 0.0, 0.0]));
}

//! Every kind of fault, planted, next to a clean twin.

use crate::{bound, run, shader, words};
use conv1d_simt::{Buffer, Dispatch, Fault, FaultKind, Texture};

/// The only fault of a dispatch of a text with a storage variable `y` of `words` words.
fn faults(wgsl: &str, workgroups: u32, count: usize) -> Vec<Fault> {
    run(wgsl, [workgroups, 1, 1], &[("y", &vec![0; count])]).faults
}

fn only(faults: &[Fault]) -> &Fault {
    assert_eq!(faults.len(), 1, "{faults:?}");
    &faults[0]
}

#[track_caller]
fn is(fault: &Fault, kind: FaultKind, variable: &str, stores: bool, line: u32, lane: u32, times: u64) {
    assert_eq!((fault.kind, &*fault.variable, fault.stores), (kind, variable, stores));
    assert_eq!((fault.line, fault.lane, fault.times), (line, lane, times));
}

#[test]
fn an_index_past_the_end_is_found_with_its_numbers() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    y[id.x] = id.x;
}";
    let found = faults(wgsl, 2, 100);
    is(only(&found), FaultKind::OutOfBounds { index: 100, count: 100 }, "y", true, 4, 36, 28);
    assert_eq!(found[0].workgroup, [1, 0, 0]);
    assert_eq!(found[0].statement.trim(), "y[id.x] = id.x;");
    let text = found[0].to_string();
    assert!(text.starts_with("line 4: lane 36 writes y at index 100 of 100, in workgroup (1, 0, 0), 28 times in all"));
    assert_eq!(faults(wgsl, 2, 128), []);
    let guarded = wgsl.replace("y[id.x] = id.x;", "if id.x < arrayLength(&y) { y[id.x] = id.x; }");
    assert_eq!(faults(&guarded, 2, 100), []);
}

#[test]
fn loads_at_a_uniform_index_are_checked_once_for_each_lane() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {
    let a = y[id.x + 8u];
    y[lane] = a;
}";
    is(only(&faults(wgsl, 1, 8)), FaultKind::OutOfBounds { index: 8, count: 8 }, "y", false, 4, 0, 8);
    assert_eq!(faults(wgsl, 1, 9), []);
}

#[test]
fn a_negative_index_is_out_of_bounds() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
    y[i32(lane) - 1] = 1u;
}";
    is(only(&faults(wgsl, 1, 8)), FaultKind::OutOfBounds { index: u32::MAX, count: 8 }, "y", true, 4, 0, 1);
}

#[test]
fn indices_of_inner_arrays_do_not_reach_into_the_next() {
    // y has 2 rows of 4: column 4 of row 0 is in the buffer, but not in the row.
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<array<u32, 4>>;
@compute @workgroup_size(5)
fn main(@builtin(local_invocation_index) lane: u32) {
    let row = lane / 8u;
    let a = y[row][lane];
    y[1][0] = a;
}";
    let found = faults(&wgsl.replace("y[1][0] = a;", "if a == 9u { y[1][0] = a; }"), 1, 8);
    is(only(&found), FaultKind::OutOfBounds { index: 4, count: 4 }, "y", false, 5, 4, 1);
}

#[test]
fn an_index_that_leaves_the_buffer_too_is_one_fault() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<array<u32, 4>>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) lane: u32) {
    if lane == 3u && y[lane][lane] == 9u { y[0][0] = 1u; }
}";
    is(only(&faults(wgsl, 1, 8)), FaultKind::OutOfBounds { index: 3, count: 2 }, "y", false, 4, 3, 1);
}

#[test]
fn private_arrays_and_vectors_are_checked() {
    for declared in
        ["var a = array<u32, 4>(1, 2, 3, 4);", "let a = vec4<u32>(1, 2, 3, 4);", "var a = vec4<u32>(1, 2, 3, 4);"]
    {
        let wgsl = format!(
            "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(6)
fn main(@builtin(local_invocation_index) lane: u32) {{
    {declared}
    y[lane] = a[lane];
}}"
        );
        is(only(&faults(&wgsl, 1, 6)), FaultKind::OutOfBounds { index: 4, count: 4 }, "", false, 5, 4, 2);
        let text = run(&wgsl, [1, 1, 1], &[("y", &[0; 6])]).faults[0].to_string();
        assert!(text.starts_with("line 5: lane 4 reads a private array or a value at index 4 of 4"), "{text}");
        assert_eq!(faults(&wgsl.replace("a[lane]", "a[lane % 4]"), 1, 6), []);
    }
}

#[test]
fn a_constant_index_out_of_a_value_is_a_fault_where_it_is_reached() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1)
fn main() {
    let a = vec4<u32>(y[0], 2, 3, 4);
    for (var i = 0u; i < 5u; i++) {
        y[i] = a[i];
    }
}";
    is(only(&faults(wgsl, 1, 5)), FaultKind::OutOfBounds { index: 4, count: 4 }, "", false, 6, 0, 1);
    assert_eq!(faults(&wgsl.replace("i < 5u", "i < 4u"), 1, 5), []);
}

#[test]
fn texels_outside_of_a_texture_are_found() {
    let wgsl = "@group(0) @binding(0) var x: texture_2d<f32>;
@group(0) @binding(1) var y: texture_storage_2d<rgba32float, write>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) lane: u32) {
    let a = textureLoad(x, vec2<i32>(i32(lane), 0) - 1, 0);
    textureStore(y, vec2<u32>(lane, lane), a);
}";
    let shader = shader(wgsl);
    let texture = || Texture::new(4, 3, Buffer::new(vec![0; 48]));
    let report = Dispatch::new(&shader, [1, 1, 1]).bind("x", texture()).bind("y", texture()).run().unwrap();
    assert_eq!(report.faults.len(), 2);
    // Lane 0 is left of it, the others are above.
    is(&report.faults[0], FaultKind::OutOfBounds { index: u32::MAX, count: 4 }, "x", false, 5, 0, 4);
    is(&report.faults[1], FaultKind::OutOfBounds { index: 3, count: 3 }, "y", true, 6, 3, 1);
}

const SHARED: &str = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<workgroup> shared_words: array<u32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    shared_words[lane] = lane;
    BARRIER
    y[lane] = shared_words[63u - lane];
}";

#[test]
fn a_missing_barrier_is_a_race() {
    // Lane 0 reads word 63, which lane 63 wrote. All 64 lanes read what another wrote.
    let found = faults(&SHARED.replace("BARRIER", ""), 1, 64);
    is(only(&found), FaultKind::WorkgroupRace { word: 63, other: 63 }, "shared_words", false, 7, 0, 64);
    assert_eq!(faults(&SHARED.replace("BARRIER", "workgroupBarrier();"), 1, 64), []);
}

#[test]
fn a_storage_barrier_does_not_order_workgroup_memory() {
    let found = faults(&SHARED.replace("BARRIER", "storageBarrier();"), 1, 64);
    assert!(matches!(only(&found).kind, FaultKind::WorkgroupRace { .. }));
    assert_eq!(faults(&SHARED.replace("BARRIER", "storageBarrier(); workgroupBarrier();"), 1, 64), []);
}

#[test]
fn a_write_after_others_read_is_a_race() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<workgroup> word: u32;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) lane: u32) {
    if lane == 0u { word = 5u; }
    workgroupBarrier();
    y[lane] = word;
    BARRIER
    if lane == LAST { word = 6u; }
}";
    // The lane that writes read it too; the other is one that is not itself.
    let found = faults(&wgsl.replace("BARRIER", "").replace("LAST", "31u"), 1, 32);
    is(only(&found), FaultKind::WorkgroupRace { word: 0, other: 0 }, "word", true, 9, 31, 1);
    let found = faults(&wgsl.replace("BARRIER", "").replace("LAST", "0u"), 1, 32);
    is(only(&found), FaultKind::WorkgroupRace { word: 0, other: 1 }, "word", true, 9, 0, 1);
    assert_eq!(faults(&wgsl.replace("BARRIER", "workgroupBarrier();").replace("LAST", "31u"), 1, 32), []);
}

#[test]
fn two_lanes_that_write_one_word_race_even_with_one_value() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
    y[lane / 2u] = 1u;
}";
    is(only(&faults(wgsl, 1, 4)), FaultKind::StorageRace { word: 0, other: 0 }, "y", true, 4, 1, 4);
}

#[test]
fn lanes_that_read_one_word_do_not_race() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
    let a = y[0] + y[lane / 4u];
    y[lane + 8u] = a;
}";
    assert_eq!(faults(wgsl, 1, 16), []);
}

#[test]
fn a_storage_barrier_orders_a_workgroup_and_no_other() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {
    y[id.x * 16u + lane] = lane;
    BARRIER
    y[id.x * 16u + 8u + lane] = y[id.x * 16u + 7u - lane];
}";
    assert_eq!(faults(&wgsl.replace("BARRIER", "storageBarrier();"), 2, 32), []);
    for barrier in ["", "workgroupBarrier();"] {
        let found = faults(&wgsl.replace("BARRIER", barrier), 2, 32);
        is(only(&found), FaultKind::StorageRace { word: 7, other: 7 }, "y", false, 6, 0, 16);
    }
    // Another workgroup.
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {
    let a = y[0];
    storageBarrier();
    if id.x == 1u && lane == 2u { y[0] = a + 1u; }
}";
    // Every lane of workgroup 0 read it.
    let found = faults(wgsl, 2, 1);
    let fault = only(&found);
    assert!(matches!(fault.kind, FaultKind::StorageRace { word: 0, other: 0..8 }), "{fault}");
    assert_eq!((fault.workgroup, fault.lane, fault.line, fault.stores), ([1, 0, 0], 2, 6, true));
    assert_eq!(faults(&wgsl.replace("id.x == 1u", "id.x == 0u"), 1, 1), []);
}

#[test]
fn workgroups_that_write_one_word_race() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {
    y[id.x * 7u + lane] = lane;
}";
    let found = faults(wgsl, 3, 22);
    is(only(&found), FaultKind::StorageRace { word: 7, other: 7 }, "y", true, 4, 0, 2);
    assert_eq!(found[0].workgroup, [1, 0, 0]);
    assert_eq!(faults(&wgsl.replace("7u", "8u"), 3, 24), []);
}

#[test]
fn atomics_do_not_race() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<atomic<u32>>;
var<workgroup> sum: atomic<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
    atomicStore(&sum, 0u);
    workgroupBarrier();
    atomicAdd(&sum, lane);
    let part = atomicLoad(&sum);
    atomicMax(&y[0], part);
    atomicStore(&y[1], lane);
    let other = atomicLoad(&y[1]);
    atomicAdd(&y[2], other);
}";
    let report = run(wgsl, [2, 1, 1], &[("y", &[0; 3])]);
    assert_eq!(report.faults, []);
    assert_eq!(words(&report, "y")[0], 28);
}

#[test]
fn reads_of_workgroup_memory_that_nobody_wrote_are_found() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<workgroup> tile: array<u32, 9>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
    tile[lane] = lane;
    workgroupBarrier();
    y[lane] = tile[lane + 1u];
}";
    is(only(&faults(wgsl, 2, 8)[..1]), FaultKind::Uninitialised { word: 8 }, "tile", false, 7, 7, 2);
    let clean = wgsl.replace("workgroupBarrier();", "if lane == 0u { tile[8] = 0u; }\nworkgroupBarrier();");
    assert_eq!(faults(&clean, 1, 8), []);
    // What a workgroup wrote is gone in the next.
    let wgsl = wgsl.replace("tile[lane] = lane;", "if y[9] == 1u { tile[lane] = lane; }");
    assert!(matches!(faults(&wgsl, 1, 10)[0].kind, FaultKind::Uninitialised { word: 1 }));
}

#[test]
fn an_atomic_addition_reads_what_must_be_written() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<workgroup> sum: atomic<u32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
    INIT
    workgroupBarrier();
    atomicAdd(&sum, lane);
}";
    let found = faults(&wgsl.replace("INIT", ""), 1, 1);
    is(only(&found), FaultKind::Uninitialised { word: 0 }, "sum", false, 7, 0, 1);
    assert_eq!(faults(&wgsl.replace("INIT", "if lane == 0u { atomicStore(&sum, 0u); }"), 1, 1), []);
    assert_eq!(faults(&wgsl.replace("INIT", "if lane == 0u { atomicExchange(&sum, 0u); }"), 1, 1), []);
}

#[test]
fn a_barrier_that_some_lanes_do_not_reach_is_found() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    if lane >= 40u + y[0] {
        return;
    }
    workgroupBarrier();
}";
    is(only(&faults(wgsl, 1, 1)), FaultKind::NonUniformBarrier { reached: 40, expected: 64 }, "", false, 7, 0, 1);
    // In a branch: lanes 3 to 5.
    let wgsl = "@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    if lane > 2u && lane < 6u {
        workgroupBarrier();
    }
}";
    let found = run(wgsl, [1, 1, 1], &[]).faults;
    is(only(&found), FaultKind::NonUniformBarrier { reached: 3, expected: 64 }, "", false, 4, 3, 1);
}

#[test]
fn a_barrier_after_a_uniform_return_is_fine() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {
    if id.x > 0u || y[0] == 9u {
        return;
    }
    workgroupBarrier();
    if id.x == 0u {
        storageBarrier();
    }
    for (var i = 0u; i < y[0] + 2u; i++) {
        workgroupBarrier();
    }
}";
    assert_eq!(faults(wgsl, 3, 1), []);
}

#[test]
fn a_barrier_in_a_loop_that_lanes_leave_at_different_times_is_found() {
    let wgsl = "@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) lane: u32) {
    for (var i = 0u; i < lane; i++) {
        workgroupBarrier();
    }
}";
    let found = run(wgsl, [1, 1, 1], &[]).faults;
    is(only(&found), FaultKind::NonUniformBarrier { reached: 3, expected: 4 }, "", false, 4, 1, 3);
}

#[test]
fn a_loop_that_does_not_end_is_found_and_one_with_as_many_iterations_as_allowed_is_not() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) lane: u32) {
    var a = lane;
    for (var i = 0u; i < y[4] + 10u; i++) {
        a += 1u;
    }
    y[lane] = a;
}";
    let shader_of = |text: &str, most| {
        let shader = shader(text);
        bound(&shader, [1, 1, 1], &[("y", &[0; 5])]).most_iterations(most).run().unwrap().faults
    };
    assert_eq!(shader_of(wgsl, 10), []);
    is(only(&shader_of(wgsl, 9)), FaultKind::EndlessLoop { limit: 9 }, "", false, 5, 0, 1);
    let last = wgsl
        .replace("for (var i = 0u; i < y[4] + 10u; i++) {", "var i = 0u; loop {")
        .replace("a += 1u;", "a += 1u; continuing { i++; break if i == y[4] + 10u; }");
    assert_eq!(shader_of(&last, 10), []);
    is(only(&shader_of(&last, 9)), FaultKind::EndlessLoop { limit: 9 }, "", false, 5, 0, 1);
    // Only lane 2 does not end.
    let endless = "@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) lane: u32) {
    var i = lane;
    while i != 0u {
        if i != 2u { i -= 1u; if i == 2u { i = 0u; } }
    }
}";
    let shader = shader(endless);
    let found = Dispatch::new(&shader, [1, 1, 1]).most_iterations(1000).run().unwrap().faults;
    is(only(&found), FaultKind::EndlessLoop { limit: 1000 }, "", false, 4, 2, 1);
}

#[test]
fn a_uniform_load_in_a_loop_without_iterations_is_no_fault() {
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<uniform> given: array<vec4<u32>, 2>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3<u32>) {
    let at = given[0].x;
    var a = 0u;
    for (var i = 0u; i < given[0].y; i++) {
        a += given[at].z;
    }
    y[lane] = a;
}";
    let of = |iterations| run(wgsl, [1, 1, 1], &[("y", &[0; 4]), ("given", &[2, iterations, 0, 0, 0, 0, 0, 0])]).faults;
    assert_eq!(of(0), []);
    is(only(&of(1)), FaultKind::OutOfBounds { index: 2, count: 2 }, "given", false, 8, 0, 4);
}

#[test]
fn checks_are_made_without_values_too() {
    let wgsl = SHARED.replace("BARRIER", "");
    let shader = shader(&wgsl);
    let dispatch = bound(&shader, [1, 1, 1], &[("y", &[0; 32])]);
    let full = dispatch.clone().run().unwrap();
    assert_eq!(full.faults.len(), 2);
    assert_eq!(dispatch.clone().checks_only().run().unwrap().faults, full.faults);
    // Only the index is checked where races are not looked for.
    assert_eq!(dispatch.counts_only().run().unwrap().faults, full.faults[1..]);
}

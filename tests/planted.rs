//! Faults planted in copies of the kernels: the interpreter finds each and names it. The unchanged kernels have none.

use conv1d::paper::simt::{self, Accesses, Counts, Fault, FaultKind, Memory, Site};
use conv1d::paper::{OnPaper, Paper};
use conv1d::{Caps, Conv1d, ConvTranspose1d, DeviceClass, Layer, Operation, Plan, PlanOptions};
use std::collections::BTreeMap;

const FORWARD: Operation = Operation::Forward;
const WEIGHT: Operation = Operation::WeightGradient;

fn plan(layer: impl Into<Layer>, operation: Operation, input: [usize; 3], variant: &str) -> Plan {
    let options = PlanOptions::default().kernel(variant);
    Plan::new(layer.into(), operation, input, &Caps::of(DeviceClass::Discrete), &options)
        .unwrap_or_else(|e| panic!("{variant}: {e}"))
}

/// The composed text of a shader of a plan.
fn text_of(plan: &Plan, shader: &str) -> String {
    let found = plan.shaders().unwrap().into_iter().find(|(name, _)| name == shader);
    found.unwrap_or_else(|| panic!("{} has no {shader}", plan.variant())).1
}

/// Runs a plan with replaced text in the shader of this name. The replaced text occurs exactly `times` times.
fn edited(paper: Paper, plan: &Plan, shader: &'static str, [from, to]: [&str; 2], times: usize) -> OnPaper {
    let (from, to) = (from.to_owned(), to.to_owned());
    assert_eq!(text_of(plan, shader).matches(&from).count(), times, "{shader}: {from:?}");
    let edit = move |name: &str, text: String| if name == shader { text.replace(&from, &to) } else { text };
    plan.on_paper(&paper.edited(edit)).unwrap()
}

fn strings<'f>(faults: impl Iterator<Item = &'f Fault>) -> Vec<String> {
    faults.map(ToString::to_string).collect()
}

fn assert_clean(plan: &Plan) {
    let run = plan.on_paper(&Paper::default().checked()).unwrap();
    assert_eq!(strings(run.faults()), Vec::<String>::new(), "{}", plan.variant());
}

/// The kinds of faults, without their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bounds,
    Unwritten,
    WorkgroupRace,
    StorageRace,
    Barrier,
    Endless,
}

fn kind(fault: &Fault) -> Kind {
    match fault.kind {
        FaultKind::OutOfBounds { .. } => Kind::Bounds,
        FaultKind::Uninitialised { .. } => Kind::Unwritten,
        FaultKind::WorkgroupRace { .. } => Kind::WorkgroupRace,
        FaultKind::StorageRace { .. } => Kind::StorageRace,
        FaultKind::NonUniformBarrier { .. } => Kind::Barrier,
        FaultKind::EndlessLoop { .. } => Kind::Endless,
        other => panic!("{other:?} is new"),
    }
}

/// A fault planted in a shader, and how it is reported.
struct Planted {
    shader: &'static str,
    from: &'static str,
    to: &'static str,
    /// Occurrences of the replaced text.
    times: usize,
    kind: Kind,
    variable: &'static str,
    stores: bool,
    /// A part of the reported line.
    line: &'static str,
}

impl Planted {
    /// A fault that is reported at the planted text.
    fn new(
        shader: &'static str,
        from: &'static str,
        to: &'static str,
        kind: Kind,
        variable: &'static str,
        stores: bool,
    ) -> Self {
        Planted { shader, from, to, times: 1, kind, variable, stores, line: to }
    }

    /// The fault is reported at another line than the planted one.
    fn seen_at(self, line: &'static str) -> Self {
        Planted { line, ..self }
    }

    fn times(self, times: usize) -> Self {
        Planted { times, ..self }
    }

    /// Fails unless the fault is found, in that shader alone, and unless the unchanged plan is clean.
    fn assert_found(&self, plan: &Plan) -> OnPaper {
        self.assert_found_by(Paper::default().checked(), plan)
    }

    fn assert_found_by(&self, paper: Paper, plan: &Plan) -> OnPaper {
        assert_clean(plan);
        let Planted { shader, from, to, times, .. } = *self;
        let run = edited(paper, plan, shader, [from, to], times);
        let what = plan.variant();
        let found = |fault: &&Fault| {
            kind(fault) == self.kind
                && fault.variable == self.variable
                && fault.stores == self.stores
                && fault.statement.contains(self.line)
        };
        let faults = strings(run.faults());
        let of_shader = run.dispatches.iter().filter(|d| d.name == shader).flat_map(|d| &d.report.faults);
        let fault = of_shader.clone().find(found);
        assert!(fault.is_some(), "{what}, {shader} with {to:?}: {faults:#?}");
        assert_eq!(of_shader.count(), faults.len(), "{what}: {shader} alone is changed: {faults:#?}");
        let message = fault.unwrap().to_string();
        assert!(
            message.contains(&format!("line {}: ", fault.unwrap().line)) && message.contains(self.line),
            "{message}"
        );
        run
    }
}

/// Plans whose kernels have loops over several blocks of everything that is staged.
fn direct() -> Plan {
    plan(Conv1d::new(3, 5, 4), FORWARD, [2, 3, 41], "direct/4x4")
}

fn window() -> Plan {
    // Two blocks of input rows.
    plan(Conv1d::new(7, 18, 5), FORWARD, [1, 7, 470], "window/16x7")
}

fn tiled() -> Plan {
    plan(Conv1d::new(17, 20, 9), FORWARD, [1, 17, 150], "tiled/4x4x4")
}

fn gemm() -> Plan {
    plan(Conv1d::new(7, 36, 5), FORWARD, [2, 7, 75], "im2col/4x8x8")
}

fn texels() -> Plan {
    plan(Conv1d::new(6, 9, 4), FORWARD, [2, 6, 150], "texels/4x8")
}

fn contract() -> Plan {
    plan(Conv1d::new(3, 5, 7), WEIGHT, [2, 3, 41], "direct")
}

fn contract_tiled() -> Plan {
    plan(Conv1d::new(11, 9, 7), WEIGHT, [2, 11, 90], "tiled")
}

fn contract_gemm() -> Plan {
    plan(Conv1d::new(7, 36, 5), WEIGHT, [2, 7, 75], "im2col/4x8x8")
}

fn contract_texels() -> Plan {
    plan(Conv1d::new(6, 9, 4), WEIGHT, [2, 6, 150], "texels")
}

/// A weight gradient in so many splits that invocations share them.
fn split() -> Plan {
    plan(Conv1d::new(1, 2, 2), WEIGHT, [3, 1, 30_000], "direct")
}

fn sums() -> Plan {
    plan(Conv1d::new(1, 3, 1), Operation::BiasGradient, [2, 1, 9000], "sums")
}

#[test]
fn a_load_one_too_far_is_found() {
    use Kind::Bounds;
    Planted::new("direct", "weight[w_rows[r] + w_tap]", "weight[w_rows[r] + w_tap + 1u]", Bounds, "weight", false)
        .assert_found(&direct());
    Planted::new(
        "direct",
        "load_input(row + u32(position))",
        "load_input(row + u32(position) + 1u)",
        Bounds,
        "input",
        false,
    )
    .seen_at("loaded(input[at])")
    .assert_found(&direct());
    Planted::new(
        "window",
        "position - params.input.touched_first) >= params.input.touched",
        "position - params.input.touched_first) > params.input.touched",
        Bounds,
        "input",
        false,
    )
    .seen_at("loaded(input[at])")
    .assert_found(&window());
    Planted::new("tiled", "packed[packed_row + i]", "packed[packed_row + i + 1u]", Bounds, "packed", false)
        .assert_found(&tiled());
    Planted::new(
        "gemm",
        "packed[w_first + row * depth + d]",
        "packed[w_first + row * depth + d + 1u]",
        Bounds,
        "packed",
        false,
    )
    .assert_found(&gemm());
    Planted::new(
        "contract",
        "load_narrow(narrow_rows[r] + narrow_item + position)",
        "load_narrow(narrow_rows[r] + narrow_item + position + 1u)",
        Bounds,
        "narrow",
        false,
    )
    .seen_at("loaded(narrow[at])")
    .assert_found(&contract());
    Planted::new(
        "contract_gemm",
        "params.narrow.length + column.position)",
        "params.narrow.length + column.position + 1u)",
        Bounds,
        "narrow",
        false,
    )
    .seen_at("loaded(narrow[at])")
    .assert_found(&contract_gemm());
    Planted::new("sum_rows", "add_input(at, sum)", "add_input(at + 1u, sum)", Bounds, "input", false)
        .seen_at("loaded(input[at])")
        .assert_found(&sums());
    Planted::new(
        "sum_partials",
        "input[first_split + split * params.partials.values]",
        "input[first_split + split * params.partials.values + 1u]",
        Bounds,
        "input",
        false,
    )
    .assert_found(&split());
}

#[test]
fn a_store_one_too_far_is_found() {
    use Kind::Bounds;
    let (from, to) = ("output[at] = stored(finished(beside, z))", "output[at + 1u] = stored(finished(beside, z))");
    for (shader, plan) in
        [("direct", direct()), ("window", window()), ("tiled", tiled()), ("gemm", gemm()), ("texels", texels())]
    {
        Planted::new(shader, from, to, Bounds, "output", true).assert_found(&plan);
    }
    let (from, to) = ("output[at] = stored(total)", "output[at + 1u] = stored(total)");
    for (shader, plan) in [
        ("contract", contract()),
        ("contract_tiled", contract_tiled()),
        ("contract_gemm", contract_gemm()),
        ("contract_texels", contract_texels()),
        ("sum_rows", sums()),
    ] {
        Planted::new(shader, from, to, Bounds, "output", true).assert_found(&plan);
    }
    Planted::new("sum_partials", "output[out] = stored(sum)", "output[out + 1u] = stored(sum)", Bounds, "output", true)
        .assert_found(&split());
    Planted::new("pack", "phase.taps_before + element]", "phase.taps_before + element + 1u]", Bounds, "output", true)
        .assert_found(&window());
}

/// A limit that is wrong by one, as it happens: rows or positions one past the end.
#[test]
fn a_limit_one_too_far_is_found() {
    use Kind::{Bounds, StorageRace};
    let store = "output[at] = stored(finished(beside, z))";
    for (shader, plan) in [("direct", direct()), ("tiled", tiled()), ("texels", texels())] {
        // A position past the end of a row is the first of the next row.
        Planted::new(
            shader,
            "row < params.problem.rows && position < position_end) {",
            "row < params.problem.rows && position <= position_end) {",
            StorageRace,
            "output",
            true,
        )
        .seen_at(store)
        .assert_found(&plan);
    }
    for (shader, plan) in [("direct", direct()), ("tiled", tiled())] {
        Planted::new(
            shader,
            "if (row < params.problem.rows && position < position_end)",
            "if (row <= params.problem.rows && position < position_end)",
            Bounds,
            "output",
            true,
        )
        .seen_at(store)
        .assert_found(&plan);
    }
}

#[test]
fn an_index_past_a_workgroup_array_is_found() {
    use Kind::Bounds;
    Planted::new(
        "window",
        "const STORED_ROWS: u32 = STAGED / POSITIONS;",
        "const STORED_ROWS: u32 = STAGED / POSITIONS + 1u;",
        Bounds,
        "staged",
        true,
    )
    .seen_at("staged[s * POSITIONS + ((along * TILE_POSITIONS + p) << shift) + across] = sums[r + s][p]")
    .assert_found(&window());
    Planted::new("contract_tiled", "column_rows[c] =", "column_rows[c + 1u] =", Bounds, "column_rows", true)
        .assert_found(&contract_tiled());
    Planted::new(
        "contract_tiled",
        "staged_columns[unit_position * COLUMN_VECTORS + v] = values",
        "staged_columns[unit_position * COLUMN_VECTORS + v + 2u] = values",
        Bounds,
        "staged_columns",
        true,
    )
    .assert_found(&contract_tiled());
    Planted::new("gemm", "staged_columns[d][lane] =", "staged_columns[d + 1u][lane] =", Bounds, "staged_columns", true)
        .assert_found(&gemm());
    Planted::new(
        "gemm",
        "staged_weights[d][place.y * TILE_ROWS + r]",
        "staged_weights[d][place.y * TILE_ROWS + r + 1u]",
        Bounds,
        "staged_weights",
        false,
    )
    .assert_found(&gemm());
    Planted::new(
        "contract_gemm",
        "staged_columns[d][c * SIDE + place.x]",
        "staged_columns[d][c * SIDE + place.x + 1u]",
        Bounds,
        "staged_columns",
        false,
    )
    .assert_found(&contract_gemm());
    Planted::new("sum_rows", "lane_sums[lane + half]", "lane_sums[lane + half + 1u]", Bounds, "lane_sums", false)
        .assert_found(&sums());
}

#[test]
fn a_texel_past_a_texture_is_found() {
    use Kind::Bounds;
    let below = |texture: &str, rest: &str, y: &str| format!("textureLoad({texture}, place{y}{rest})");
    for (shader, plan) in [("texels", texels()), ("contract_texels", contract_texels())] {
        for texture in ["input_texels", "factor_texels"] {
            // Sampled textures have levels.
            let rest = if text_of(&plan, shader).contains(&below(texture, ", 0", "")) { ", 0" } else { "" };
            let planted: &'static str = below(texture, rest, " + vec2(0u, 1u)").leak();
            let from: &'static str = below(texture, rest, "").leak();
            Planted::new(shader, from, planted, Bounds, texture, false).assert_found(&plan);
        }
    }
    for shader in ["texels_input", "texels_weight"] {
        Planted::new(
            shader,
            "textureStore(texels, texel_place(texel), value)",
            "textureStore(texels, texel_place(texel + TEXTURE_WIDTH), value)",
            Bounds,
            "texels",
            true,
        )
        .assert_found(&texels());
    }
}

#[test]
fn a_staging_loop_one_short_is_found() {
    use Kind::Unwritten;
    Planted::new("window", "i < params.tiles.samples;", "i + 1u < params.tiles.samples;", Unwritten, "staged", false)
        .times(2)
        .seen_at("= staged[sample_at")
        .assert_found(&window());
    Planted::new("tiled", "i < span;", "i + 1u < span;", Unwritten, "staged_samples", false)
        .times(2)
        .seen_at("samples[p] = staged_samples[")
        .assert_found(&tiled());
    Planted::new(
        "tiled",
        "i < taps * (ROWS / 4u);",
        "i + 1u < taps * (ROWS / 4u);",
        Unwritten,
        "staged_weights",
        false,
    )
    .seen_at("staged_weights[w_at + a * LANES_ROWS]")
    .assert_found(&tiled());
    Planted::new("gemm", "i < DEPTH * ROWS;", "i + 1u < DEPTH * ROWS;", Unwritten, "staged_weights", false)
        .seen_at("let w = staged_weights[d]")
        .assert_found(&gemm());
    Planted::new(
        "gemm",
        "d < DEPTH; d++) {\n            staged_columns",
        "d < DEPTH - 1u; d++) {\n            staged_columns",
        Unwritten,
        "staged_columns",
        false,
    )
    .seen_at("values[p] = staged_columns[d]")
    .assert_found(&gemm());
    Planted::new("contract_tiled", "v < ROWS / 4u;", "v + 1u < ROWS / 4u;", Unwritten, "staged_rows", false)
        .seen_at("let factors = staged_rows[")
        .assert_found(&contract_tiled());
    Planted::new("contract_tiled", "v < COLUMNS / 4u;", "v + 1u < COLUMNS / 4u;", Unwritten, "staged_columns", false)
        .seen_at("values[a] = staged_columns[")
        .assert_found(&contract_tiled());
    Planted::new("contract_tiled", "c < COLUMNS;", "c + 1u < COLUMNS;", Unwritten, "column_rows", false)
        .seen_at("sample(column_rows[c]")
        .assert_found(&contract_tiled());
    Planted::new("contract_gemm", "i < DEPTH * ROWS;", "i + 1u < DEPTH * ROWS;", Unwritten, "staged_narrow", false)
        .seen_at("let factor = staged_narrow[d]")
        .assert_found(&contract_gemm());
    Planted::new(
        "contract_gemm",
        "i < DEPTH * COLUMNS;",
        "i + 1u < DEPTH * COLUMNS;",
        Unwritten,
        "staged_columns",
        false,
    )
    .seen_at("values[c] = staged_columns[d]")
    .assert_found(&contract_gemm());
    Planted::new(
        "sum_rows",
        "lane_sums[lane] = value;",
        "if (lane > 0u) { lane_sums[lane] = value; }",
        Unwritten,
        "lane_sums",
        false,
    )
    .seen_at("lane_sums[lane] += lane_sums[lane + half]")
    .assert_found(&sums());
}

#[test]
fn two_invocations_that_store_one_element_are_found() {
    use Kind::StorageRace;
    let store = "output[at] = stored(finished(beside, z))";
    // Of one workgroup.
    Planted::new(
        "direct",
        "block * TILE_POSITIONS * spacing",
        "block * (TILE_POSITIONS - 1u) * spacing",
        StorageRace,
        "output",
        true,
    )
    .seen_at(store)
    .assert_found(&direct());
    Planted::new(
        "texels",
        "block * TILE_POSITIONS * params",
        "block * (TILE_POSITIONS - 1u) * params",
        StorageRace,
        "output",
        true,
    )
    .seen_at(store)
    .assert_found(&texels());
    Planted::new("sum_rows", "if (lane == 0u)", "if (lane <= 1u)", StorageRace, "output", true)
        .seen_at("output[at] = stored(total)")
        .assert_found(&sums());
    // Of two workgroups.
    Planted::new(
        "tiled",
        "(rest % params.tiles.position_tiles) * POSITIONS",
        "(rest % params.tiles.position_tiles) * (POSITIONS - 1u)",
        StorageRace,
        "output",
        true,
    )
    .seen_at(store)
    .assert_found(&tiled());
    Planted::new(
        "window",
        "block_along * (LANES >> shift) * TILE_POSITIONS;",
        "block_along * ((LANES >> shift) * TILE_POSITIONS - 1u);",
        StorageRace,
        "output",
        true,
    )
    .seen_at(store)
    .assert_found(&window());
    Planted::new(
        "gemm",
        "(index % params.tiles.row_tiles) * ROWS",
        "(index % params.tiles.row_tiles) * (ROWS - 1u)",
        StorageRace,
        "output",
        true,
    )
    .seen_at(store)
    .assert_found(&gemm());
    Planted::new(
        "im2col",
        "(index % params.tiles.row_tiles) * TILE_DEPTH",
        "(index % params.tiles.row_tiles) * (TILE_DEPTH - 1u)",
        StorageRace,
        "output",
        true,
    )
    .seen_at("output[out_first + row * POSITIONS] = stored(value)")
    .assert_found(&gemm());
    Planted::new(
        "contract_gemm",
        "(rest % params.tiles.row_tiles) * ROWS",
        "(rest % params.tiles.row_tiles) * (ROWS - 1u)",
        StorageRace,
        "output",
        true,
    )
    .seen_at("output[at] = stored(total)")
    .assert_found(&contract_gemm());
}

const BARRIER: &str = "workgroupBarrier();";

/// The places of all barriers in a text.
fn barriers(text: &str) -> Vec<usize> {
    text.match_indices(BARRIER).map(|(at, _)| at).collect()
}

/// Runs a plan without one barrier of a shader.
fn without_barrier(plan: &Plan, shader: &str, number: usize) -> OnPaper {
    let shader = shader.to_owned();
    let edit = move |name: &str, mut text: String| {
        if name == shader {
            let at = barriers(&text)[number];
            text.replace_range(at..at + BARRIER.len(), "");
        }
        text
    };
    plan.on_paper(&Paper::default().checked().edited(edit)).unwrap()
}

/// Each barrier of each kernel is needed: without it, there is a race in workgroup memory, or a read of what nobody wrote. The exception
/// is the first of `sum_lanes`, which the next test is about: these kernels call it once.
#[test]
fn every_barrier_is_needed() {
    let plans = [
        window(),
        plan(Conv1d::new(5, 2, 5), FORWARD, [1, 5, 980], "window/1x15"),
        // One block of input rows, but two of taps.
        plan(Conv1d::new(1, 4, 2000), FORWARD, [1, 1, 2600], "window"),
        plan(Conv1d::new(3, 4, 5).dilation(3), FORWARD, [1, 3, 100], "window"),
        tiled(),
        plan(Conv1d::new(17, 70, 3), FORWARD, [1, 17, 70], "tiled/8x8x8"),
        gemm(),
        contract_tiled(),
        contract_gemm(),
        split(),
        sums(),
    ];
    let mut needed: BTreeMap<(String, usize), bool> = BTreeMap::new();
    for plan in &plans {
        assert_clean(plan);
        for (shader, text) in plan.shaders().unwrap() {
            for number in 0..barriers(&text).len() {
                let run = without_barrier(plan, &shader, number);
                let found = run.faults().any(|fault| matches!(kind(fault), Kind::WorkgroupRace | Kind::Unwritten));
                *needed.entry((shader.clone(), number)).or_default() |= found;
            }
        }
    }
    let kernels = ["contract_gemm", "contract_tiled", "gemm", "sum_partials", "sum_rows", "tiled", "window"];
    for kernel in kernels {
        assert!(needed.keys().any(|(shader, _)| shader == kernel), "{kernel} in {needed:?}");
    }
    let unneeded: Vec<(&str, usize)> =
        needed.iter().filter(|(_, needed)| !**needed).map(|((shader, number), _)| (shader.as_str(), *number)).collect();
    assert_eq!(unneeded, [("sum_partials", 0), ("sum_rows", 0)]);
}

/// Two sums in a row, as in the weight normalisation of `conv1d-nn`: the second must not write before all have read the first.
#[test]
fn the_first_barrier_of_sum_lanes_is_needed_where_it_is_called_twice() {
    let text = "
// use: sum_lanes, stored
@group(0) @binding(1) var<storage, read_write> sums: array<Stored>;

@compute @workgroup_size(LANES)
fn twice(@builtin(local_invocation_index) lane: u32) {
    let first = sum_lanes(lane, Sum(lane));
    sums[lane] = stored(first + sum_lanes(lane, first));
}
";
    let text = conv1d::Shader::new("twice", text).wgsl().unwrap();
    let faults = |text: &str| {
        let shader = simt::Shader::new(text).unwrap();
        let run = simt::Dispatch::new(&shader, [1, 1, 1]).bind("sums", simt::Buffer::floats(&[0.0; 64]));
        run.run().unwrap().faults
    };
    assert_eq!(strings(faults(&text).iter()), Vec::<String>::new());
    for at in barriers(&text) {
        let mut text = text.clone();
        text.replace_range(at..at + BARRIER.len(), "");
        let faults = faults(&text);
        let race = |fault: &Fault| kind(fault) == Kind::WorkgroupRace && fault.variable == "lane_sums";
        assert!(faults.iter().any(race), "{:#?}", strings(faults.iter()));
    }
}

#[test]
fn a_barrier_that_some_lanes_miss_is_found() {
    use Kind::Barrier;
    // In a branch that half of the lanes take.
    for (shader, plan) in [
        ("gemm", gemm()),
        ("window", window()),
        ("tiled", tiled()),
        ("contract_tiled", contract_tiled()),
        ("contract_gemm", contract_gemm()),
        ("sum_rows", sums()),
    ] {
        let times = barriers(&text_of(&plan, shader)).len();
        let branch = "if (lane < 32u) { workgroupBarrier(); }";
        let run = Planted::new(shader, BARRIER, branch, Barrier, "", false).times(times).assert_found(&plan);
        let reached = |fault: &Fault| matches!(fault.kind, FaultKind::NonUniformBarrier { reached: 32, expected } if expected > 32);
        assert!(run.faults().any(reached), "{:#?}", strings(run.faults()));
    }
    // In a loop that some lanes leave before the others.
    let body = "for (var i = lane; i < params.tiles.samples; i += LANES) {";
    let with_barrier = "for (var i = lane; i < params.tiles.samples; i += LANES) { workgroupBarrier();";
    Planted::new("window", body, with_barrier, Barrier, "", false).times(2).assert_found(&window());
    let body = "for (var i = lane; i < span; i += INVOCATIONS) {";
    let with_barrier = "for (var i = lane; i < span; i += INVOCATIONS) { workgroupBarrier();";
    Planted::new("tiled", body, with_barrier, Barrier, "", false).times(2).assert_found(&tiled());
    // The last lane leaves the loop after the first stage.
    Planted::new(
        "gemm",
        "workgroupBarrier();\n        for (var d",
        "workgroupBarrier(); if (lane == 63u) { break; }\n        for (var d",
        Barrier,
        "",
        false,
    )
    .seen_at("workgroupBarrier();")
    .assert_found(&gemm());
}

#[test]
fn a_loop_that_does_not_end_is_found() {
    use Kind::Endless;
    for (plan, planted) in [
        (
            direct(),
            Planted::new("direct", "            q++;\n", "\n", Endless, "", false)
                .seen_at("while (q < params.problem.depth)"),
        ),
        (
            texels(),
            Planted::new("texels", "            unit++;\n", "\n", Endless, "", false)
                .seen_at("while (unit < params.tiles.units)"),
        ),
        (tiled(), Planted::new("tiled", "i += INVOCATIONS", "i += INVOCATIONS / 512u", Endless, "", false).times(3)),
        (contract(), Planted::new("contract", "position += spacing", "position += 0u", Endless, "", false)),
    ] {
        let run = planted.assert_found_by(Paper::default().checked().most_iterations(1000), &plan);
        let limit = FaultKind::EndlessLoop { limit: 1000 };
        assert!(run.faults().any(|fault| fault.kind == limit), "{:#?}", strings(run.faults()));
    }
}

/// The counts of the dispatch of a shader.
fn counts(run: &OnPaper, shader: &str) -> Counts {
    run.dispatches.iter().find(|dispatch| dispatch.name == shader).unwrap().report.counts.clone()
}

fn counted(plan: &Plan, shader: &str) -> Counts {
    counts(&plan.on_paper(&Paper::default()).unwrap(), shader)
}

/// The counts of a shader with replaced text.
fn counted_edited(plan: &Plan, shader: &'static str, from: &str, to: &str) -> Counts {
    counts(&edited(Paper::default(), plan, shader, [from, to], 1), shader)
}

/// The accesses of a line of the text to a variable of workgroup memory: the only one of its kind.
fn at_line(counts: &Counts, text: &str, variable: &str, stores: bool, line: &str) -> Accesses {
    let there = |site: &Site| {
        let of_site = text.lines().nth(site.line as usize - 1).unwrap_or_default();
        site.memory == Memory::Workgroup && site.variable == variable && site.stores == stores && of_site.contains(line)
    };
    let sites: Vec<&Accesses> = counts.sites.iter().filter(|(site, _)| there(site)).map(|(_, found)| found).collect();
    assert_eq!(sites.len(), 1, "{variable} in {line:?}");
    *sites[0]
}

/// The matrix products of `im2col` stage transposed operands, in rows of a multiple of 32 words: neighbouring lanes store to one bank.
#[test]
fn staging_for_matrix_products_has_conflicts() {
    let of_rows = "staged_weights[i % DEPTH][i / DEPTH] = value";
    for (variant, lanes_of_a_bank) in [("im2col/4x8x8", 16.0), ("im2col/1x8x8", 4.0)] {
        let plan = plan(Conv1d::new(16, 64, 3), FORWARD, [1, 16, 130], variant);
        let at = at_line(&counted(&plan, "gemm"), &text_of(&plan, "gemm"), "staged_weights", true, of_rows);
        assert_eq!(at.conflicts(), lanes_of_a_bank, "{variant}");
    }
    let of_columns = "staged_columns[i % DEPTH][i / DEPTH] = value";
    let of_narrow = "staged_narrow[i % DEPTH][i / DEPTH] = value";
    for (variant, of_narrow_rows) in [("im2col/4x8x8", 16.0), ("im2col/1x8x8", 4.0)] {
        let plan = plan(Conv1d::new(16, 64, 3), WEIGHT, [1, 16, 130], variant);
        let (counts, text) = (counted(&plan, "contract_gemm"), text_of(&plan, "contract_gemm"));
        let at = |variable, line| at_line(&counts, &text, variable, true, line).conflicts();
        assert_eq!(
            (at("staged_narrow", of_narrow), at("staged_columns", of_columns)),
            (of_narrow_rows, 16.0),
            "{variant}"
        );
    }
    // All other accesses to workgroup memory, of all kernels, are without conflicts.
    for (shader, plan) in [
        ("window", window()),
        ("tiled", tiled()),
        ("gemm", gemm()),
        ("contract_tiled", contract_tiled()),
        ("contract_gemm", contract_gemm()),
        ("sum_rows", sums()),
        ("sum_partials", split()),
    ] {
        for (site, accesses) in counted(&plan, shader).sites {
            let of_weights = shader == "gemm" && site.stores && site.variable == "staged_weights";
            let transposed = of_weights || shader == "contract_gemm" && site.stores;
            if site.memory == Memory::Workgroup && !transposed {
                assert_eq!(accesses.conflicts(), 1.0, "{shader} {site:?}");
            }
        }
    }
}

#[test]
fn a_row_of_staged_values_without_padding_has_conflicts() {
    // Two more words in each row of the matrix products remove theirs.
    let plan = gemm();
    let (from, to) =
        ("staged_weights: array<array<Sum, ROWS>, DEPTH>", "staged_weights: array<array<Sum, ROWS + 2u>, DEPTH>");
    let stores = |counts: &Counts, variable| counts.variable(variable, true).conflicts();
    assert_eq!(stores(&counted_edited(&plan, "gemm", from, to), "staged_weights"), 1.0);
    // `contract_tiled` has such padding, and `window` an odd number of positions.
    let plan = contract_tiled();
    assert_eq!(stores(&counted(&plan, "contract_tiled"), "staged_columns"), 1.0);
    let (from, to) = ("COLUMN_VECTORS: u32 = COLUMNS / 4u + 1u", "COLUMN_VECTORS: u32 = COLUMNS / 4u");
    let without = stores(&counted_edited(&plan, "contract_tiled", from, to), "staged_columns");
    assert!(without >= 2.0, "{without}");
    let plan = window();
    let loads = |counts: &Counts| counts.variable("staged", false).conflicts();
    assert_eq!(loads(&counted(&plan, "window")), 1.0);
    let (from, to) = ("((along * TILE_POSITIONS) << shift) + across;", "((along * 8u) << shift) + across;");
    let even = loads(&counted_edited(&plan, "window", from, to));
    assert!(even > 4.0, "{even}");
}

/// Rows of 32 positions fill few lanes. `texels` sends the others home; `window` and `tiled` let them compute what is not stored.
#[test]
fn short_rows_leave_lanes_idle() {
    let short = |variant| plan(Conv1d::new(4, 16, 3), FORWARD, [1, 4, 34], variant);
    let needed = 16.0 * 32.0 * 4.0 * 3.0;
    let idle = counted(&short("texels/8x16"), "texels").idle();
    assert!(idle > 0.9, "{idle}");
    for (variant, shader, times) in [("window/16x7", "window", 14.0), ("window/1x15", "window", 30.0)] {
        let counts = counted(&short(variant), shader);
        assert_eq!((counts.idle(), counts.lanes.multiply_adds), (0.0, times * needed), "{variant}");
    }
    let counts = counted(&short("direct/4x4"), "direct");
    assert_eq!(counts.lanes.multiply_adds, needed);
    assert!(counts.idle() > 0.5, "{}", counts.idle());
}

/// A transposed convolution stores each phase by itself, every `stride`-th element of a row.
#[test]
fn stores_of_phases_are_strided() {
    for stride in [1, 2, 4, 8] {
        for variant in ["window/16x7", "window/1x15", "tiled/8x8x8"] {
            let plan = plan(ConvTranspose1d::new(8, 16, 2 * stride).stride(stride), FORWARD, [1, 8, 1000], variant);
            let shader = variant.split('/').next().unwrap();
            let moved = counted(&plan, shader).variable("output", true).sector_bytes_per_byte();
            let stride = stride as f64;
            assert!((stride..stride + 0.5).contains(&moved), "{variant}, stride {stride}: {moved}");
        }
    }
}

#[test]
fn scattered_stores_are_counted() {
    // In the epilogue of `window` neighbouring lanes store adjacent positions. Without it they are 15 apart.
    let plan = plan(Conv1d::new(4, 2, 3), FORWARD, [1, 4, 1922], "window/1x15");
    let stores = |counts: Counts| counts.variable("output", true).sector_bytes_per_byte();
    let adjacent = stores(counted(&plan, "window"));
    assert!(adjacent < 1.3, "{adjacent}");
    let (from, to) =
        ("let in_block = i % POSITIONS;", "let in_block = i % LANES * TILE_POSITIONS + i / LANES % TILE_POSITIONS;");
    let scattered = stores(counted_edited(&plan, "window", from, to));
    assert!((7.9..=8.0).contains(&scattered), "{scattered}");
}

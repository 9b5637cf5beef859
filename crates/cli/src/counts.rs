//! `conv1d explain --counts`: what the dispatches of a plan do, in numbers.

use crate::Outcome;
use conv1d::models::{Estimate, Model};
use conv1d::paper::simt::{Accesses, Counts, Memory, Workgroups};
use conv1d::paper::{Paper, PaperDispatch};
use conv1d::{Caps, Plan};

/// Workgroups of a dispatch that are run.
const SAMPLED: u32 = 24;

/// Lanes of a subgroup of lavapipe with vectors of 256 bits.
const SOFTWARE_SUBGROUP: u32 = 8;

/// Prints the counts of every dispatch and its time on the model of the plan's device. False if a dispatch has a fault.
pub(crate) fn print(plan: &Plan) -> Outcome {
    let model = plan.caps().model;
    let subgroup = model.map_or(SOFTWARE_SUBGROUP, |model| model.subgroup.value);
    let paper = Paper::default().checked().subgroup(subgroup).workgroups(Workgroups::Sample(SAMPLED));
    let run = plan.on_paper(&paper).map_err(|e| e.to_string())?;
    let times = match model {
        None => "no times, since a software adapter has no device model".to_owned(),
        Some(model) if *plan.caps() == Caps::of_model(model) => format!("times on a model of {}", model.title),
        Some(model) => format!("times as on {}, which stands for the device", model.title),
    };
    say!(
        "  on paper: counts for subgroups of {subgroup}; {times}; lines are those of --wgsl, counted from each shader's name"
    );
    let (mut seconds, mut packing) = (0.0, 0.0);
    for dispatch in &run.dispatches {
        print_dispatch(dispatch);
        if let Some(model) = model {
            let time = print_time(dispatch, model);
            seconds += time;
            packing += if dispatch.packs { time } else { 0.0 };
        }
    }
    if packing > 0.0 {
        say!(
            "    all dispatches: {:.1} us, {:.1} us without packing the weight",
            seconds * 1e6,
            (seconds - packing) * 1e6
        );
    } else if run.dispatches.len() > 1 && model.is_some() {
        say!("    all dispatches: {:.1} us", seconds * 1e6);
    }
    let faults: Vec<String> = run.faults().map(ToString::to_string).collect();
    faults.iter().for_each(|fault| say!("    fault: {fault}"));
    if faults.is_empty() {
        say!("    no faults in the workgroups that were run");
    }
    Ok(faults.is_empty())
}

fn print_dispatch(dispatch: &PaperDispatch) {
    let counts = &dispatch.report.counts;
    let once = if dispatch.packs { ", once per weight" } else { "" };
    let run = match counts.counted as f64 {
        counted if counted < counts.workgroups => format!(", {counted} of them run"),
        _ => String::new(),
    };
    let (workgroups, invocations) = (counts.workgroups, counts.invocations);
    say!("    {}: {workgroups} workgroups of {invocations}{run}{once}", dispatch.name);
    let (lanes, scalars) = (&counts.lanes, &counts.scalars);
    let rest = lanes.total() - lanes.multiply_adds;
    say!(
        "      {} multiply-adds and {} other operations of lanes, {} shared by all lanes of a subgroup; {:.0} % of lanes idle",
        count(lanes.multiply_adds),
        count(rest),
        count(scalars.total()),
        100.0 * counts.idle()
    );
    let kinds = [(Memory::Storage, "storage"), (Memory::Texture, "textures"), (Memory::Workgroup, "workgroup memory")];
    for (memory, name) in kinds {
        for (stores, what) in [(false, "loads"), (true, "stores")] {
            let accesses = counts.accesses(memory, stores);
            if accesses.requests > 0.0 {
                say!("      {what} of {name}: {}", access(memory, &accesses));
            }
        }
    }
    for (variable, footprint) in counts.footprints.iter().filter(|(name, _)| *name != "params") {
        let loads = counts.variable(variable, false);
        if loads.bytes > 0.0 {
            let fetched = 32.0 * footprint.loaded_sectors;
            say!(
                "      {variable}: each byte asked for {:.1} times; workgroups fetch it {:.1} times",
                loads.bytes / footprint.bytes,
                fetched / footprint.bytes
            );
        }
    }
    say!(
        "      {} barriers, {} waits for loads, at most {} iterations of all loops of an invocation; {} registers, {} bytes of workgroup memory",
        count(counts.barriers),
        count(counts.waits),
        count(counts.most_iterations),
        counts.live_registers,
        counts.workgroup_bytes
    );
    print_scattered(counts);
}

/// The places whose accesses move much more than is asked for, or wait for each other.
fn print_scattered(counts: &Counts) {
    for (site, accesses) in &counts.sites {
        let what = if site.stores { "stores to" } else { "loads from" };
        let (variable, line) = (&site.variable, site.line);
        if site.memory == Memory::Workgroup && accesses.conflicts() > 1.5 {
            say!("      line {line}: {what} {variable} wait {:.1} times for banks", accesses.conflicts());
        }
        let scattered = accesses.sector_bytes_per_byte();
        if site.memory == Memory::Storage && accesses.uniform < accesses.requests && scattered > 2.0 {
            say!("      line {line}: {what} {variable} move {scattered:.1} bytes for each byte asked for");
        }
    }
}

fn access(memory: Memory, accesses: &Accesses) -> String {
    let requests = count(accesses.requests);
    match memory {
        Memory::Workgroup => format!("{requests} requests, {:.2} cycles for each one needed", accesses.conflicts()),
        _ => {
            let uniform = 100.0 * accesses.uniform / accesses.requests;
            format!(
                "{requests} requests ({uniform:.0} % of one address), {} sectors, {:.2} bytes moved for each byte asked for",
                count(accesses.sectors),
                accesses.sector_bytes_per_byte()
            )
        }
    }
}

/// Prints the predicted time of a dispatch and its causes, and returns its seconds.
fn print_time(dispatch: &PaperDispatch, model: &Model) -> f64 {
    let estimate: Estimate = dispatch.report.counts.estimate(model);
    let parts = estimate.parts().map(|(name, seconds)| format!("{name} {:.1}", seconds * 1e6)).join(", ");
    say!(
        "      {:.1} us, bound by {} ({parts}, launch {:.1}; {} workgroups a processor, balance {:.2})",
        estimate.seconds() * 1e6,
        estimate.bound(),
        estimate.launch * 1e6,
        estimate.resident,
        estimate.balance
    );
    estimate.seconds()
}

/// A count in a readable unit.
fn count(number: f64) -> String {
    match number {
        0.0..1e4 => format!("{number:.0}"),
        1e4..1e7 => format!("{:.1} k", number / 1e3),
        1e7..1e10 => format!("{:.1} M", number / 1e6),
        _ => format!("{:.1} G", number / 1e9),
    }
}

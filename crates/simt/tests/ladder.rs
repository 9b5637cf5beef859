//! A published ladder of matrix products: what the interpreter counts is what a separate script worked out.

use conv1d_simt::{Buffer, Counts, Dispatch, Memory, Shader, Workgroups};
use serde_json::Value;
use std::path::Path;

const SIZE: u64 = 4096;

/// Counts of a file of the ladder at the published size.
fn counted(folder: &Path, file: &str, step: &Value) -> Counts {
    let wgsl = std::fs::read_to_string(folder.join(file)).unwrap();
    let shader = Shader::with_entry_point(&wgsl, step["entry_point"].as_str().unwrap()).unwrap();
    let size = shader.workgroup_size().iter().product::<u32>();
    assert_eq!(u64::from(size), step["workgroup_size"].as_u64().unwrap());
    let workgroups = [0, 1, 2].map(|i| step["workgroups"][i].as_u64().unwrap() as u32);
    let sizes = [SIZE as u32, SIZE as u32, SIZE as u32, 0.5_f32.to_bits(), 3.0_f32.to_bits()];
    let matrix = || Buffer::pattern(SIZE * SIZE);
    let dispatch = Dispatch::new(&shader, workgroups).bind("sizes", Buffer::new(sizes.to_vec()));
    let dispatch = dispatch.bind("a", matrix()).bind("b", matrix()).bind("c", matrix());
    let report = dispatch.workgroups(Workgroups::Sample(2)).counts_only().run().unwrap();
    assert_eq!(report.faults, [], "{file}");
    report.counts
}

#[test]
fn the_sectors_of_the_ladder_are_those_worked_out_on_paper() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ladder");
    let ladder: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("ladder.json")).unwrap()).unwrap();
    let steps = ladder["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 8);
    for step in steps {
        for file in ["file", "wide"].iter().filter_map(|&key| step[key].as_str()) {
            let counts = counted(&folder, file, step);
            let expected = |key: &str| step["sectors"][key].as_f64().unwrap();
            let loads = counts.variable("a", false).sectors + counts.variable("b", false).sectors;
            assert_eq!(loads, expected("loads_a_b"), "{file}");
            assert_eq!(counts.variable("c", false).sectors, expected("loads_c"), "{file}");
            assert_eq!(counts.variable("c", true).sectors, expected("stores_c"), "{file}");
            assert_eq!(counts.workgroup_bytes, step["workgroup_memory_bytes"].as_u64().unwrap() as u32, "{file}");
            // One multiply-add for each term of each element, and one for alpha * sum + beta * c.
            assert_eq!(counts.lanes.multiply_adds, (SIZE * SIZE * (SIZE + 1)) as f64, "{file}");
            assert_eq!(counts.idle(), 0.0, "{file}");
            let all = counts.accesses(Memory::Storage, false).sectors;
            assert_eq!(all, loads + counts.variable("c", false).sectors, "{file}");
        }
    }
}

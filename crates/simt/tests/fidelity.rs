//! How near the predicted times are to published ones: a ladder of matrix products on an RTX A6000.

use conv1d_simt::{Buffer, Dispatch, Kind, Shader, Workgroups, models};
use serde_json::Value;

/// Every step of the ladder is predicted within a factor of two, and no step that takes a third less time than another is predicted to
/// take longer.
#[test]
fn the_ladder_is_predicted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ladder");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let ladder: Value = serde_json::from_str(&read("ladder.json")).unwrap();
    let model = models::model("rtx-a6000").unwrap();
    let mut times = Vec::new();
    for step in ladder["steps"].as_array().unwrap() {
        // The forms that load vectors from workgroup memory, as the published kernels do.
        let file = step["wide"].as_str().unwrap_or_else(|| step["file"].as_str().unwrap());
        let shader = Shader::new(&read(file)).unwrap();
        let workgroups: Vec<u32> =
            step["workgroups"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect();
        let one = 1.0_f32.to_bits();
        let sizes = Buffer::new(vec![4096, 4096, 4096, one, 0]);
        let dispatch = Dispatch::new(&shader, workgroups.try_into().unwrap()).workgroups(Workgroups::Sample(6));
        let dispatch = shader.variables().into_iter().fold(dispatch.counts_only(), |dispatch, variable| {
            let bound = if variable.kind == Kind::Uniform { sizes.clone() } else { Buffer::pattern(4096 * 4096) };
            dispatch.bind(variable.name, bound)
        });
        let predicted = dispatch.run().unwrap().counts.estimate(model).seconds() * 1e3;
        times.push((file.to_owned(), predicted, step["milliseconds"].as_f64().unwrap()));
    }
    for (file, predicted, published) in &times {
        println!("{file}: predicted {predicted:.2} ms, published {published:.2} ms, {:.2}", predicted / published);
        assert!((0.5..2.0).contains(&(predicted / published)), "{file}: {predicted} ms, published {published} ms");
    }
    for (file, predicted, published) in &times {
        for (other, other_predicted, other_published) in &times {
            if *published * 1.5 < *other_published {
                assert!(predicted < other_predicted, "{file} is predicted to take longer than {other}");
            }
        }
    }
    assert_eq!(times.len(), 8);
}

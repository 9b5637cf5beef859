//! Data that is kept in files: measured times of candidates, and compiled pipelines. Times change which kernel runs, nothing else.

use crate::harness::{Case, Data, assert_plans, gpu};
use conv1d::{Conv1d, Effort, Error, Gpu, Operation, Padding, Plan, PlanOptions, Tuning};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// A file of this test run, removed when dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        File(std::env::temp_dir().join(format!("conv1d-test-{}-{name}", std::process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// A separate `Gpu` on the device of all tests.
fn own_gpu() -> Gpu {
    Gpu::from_device(gpu().device().clone(), gpu().queue().clone()).unwrap()
}

fn case() -> Case {
    Case::new(Conv1d::new(3, 5, 3).padding(Padding::Same), [2, 3, 40])
}

/// The file of a tuning, measured once.
fn measured() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let (case, file) = (case(), File::new("measured"));
        let mut tuning = Tuning::new(gpu());
        let effort = Effort::within(Duration::from_millis(1));
        gpu().tune(&mut tuning, case.fused, Operation::Forward, case.input, effort).unwrap();
        tuning.save(&file.0).unwrap();
        std::fs::read_to_string(&file.0).unwrap()
    })
}

/// A tuning with the time of a single candidate.
fn tuning_with(choice: &str, seconds: &str) -> Tuning {
    let file = File::new(&format!("{}-{seconds}", choice.replace('/', "-")));
    let (head, rest) = measured().split_once("zeros\": {").unwrap();
    let rest = &rest[rest.find('}').unwrap()..];
    std::fs::write(&file.0, format!("{head}zeros\": {{\"{choice}\": {seconds}{rest}")).unwrap();
    Tuning::load(&file.0).unwrap()
}

/// Candidates are measured, their times survive a file, and the fastest is chosen if the tuning is used.
#[test]
fn what_was_measured_decides() {
    let case = case();
    let mut tuning = Tuning::new(gpu());
    let effort = Effort::within(Duration::from_millis(5));
    let tuned = gpu().tune(&mut tuning, case.fused, Operation::Forward, case.input, effort).unwrap();
    let measured: Vec<f64> = tuned.candidates().iter().map_while(|c| c.measured).collect();
    assert!(measured.len() > 1 && measured.is_sorted(), "{measured:?}");
    assert_eq!(tuned.variant(), tuned.candidates()[0].variant);
    assert_eq!(tuning.len(), 1);
    assert!(format!("{tuned:#}").contains("measured"), "{tuned:#}");

    let file = File::new("round-trip");
    tuning.save(&file.0).unwrap();
    let loaded = Tuning::load(&file.0).unwrap();
    assert_eq!(loaded, tuning);
    let gpu = own_gpu();
    gpu.use_tuning(loaded).unwrap();
    let plan = |operation| gpu.plan(case.fused, operation, case.input, &PlanOptions::default()).unwrap();
    assert_eq!(plan(Operation::Forward), tuned);
    let untuned =
        |operation| Plan::new(case.fused, operation, case.input, gpu.caps(), &PlanOptions::default()).unwrap();
    assert_eq!(plan(Operation::InputGradient), untuned(Operation::InputGradient));
}

/// The variant that a file names as fastest is a candidate, and computes correct results.
#[test]
fn any_candidate_that_is_chosen_is_right() {
    let case = case();
    for choice in ["direct/1x1", "im2col/1x8x8", "tiled/4x4x4"] {
        let tuning = tuning_with(choice, "1e-9");
        let options = PlanOptions::default().tuning(tuning);
        let plan = Plan::new(case.fused, Operation::Forward, case.input, gpu().caps(), &options).unwrap();
        assert_eq!(plan.variant().to_string(), choice);
        assert_plans(gpu(), &case, &[plan], &Data::new(&case));
        // A kernel that is forced stays forced.
        let forced = options.kernel("direct/4x4");
        let plan = Plan::new(case.fused, Operation::Forward, case.input, gpu().caps(), &forced).unwrap();
        assert_eq!(plan.variant().to_string(), "direct/4x4");
    }
}

#[test]
fn nonsense_in_a_file_is_not_believed() {
    let case = case();
    let plan =
        |options: &PlanOptions| Plan::new(case.fused, Operation::Forward, case.input, gpu().caps(), options).unwrap();
    let untuned = plan(&PlanOptions::default()).variant();
    for (choice, seconds) in [("no/such", "1e-9"), ("direct", "1e-9"), ("direct/1x1", "-1.0")] {
        let tuning = tuning_with(choice, seconds);
        assert_eq!(plan(&PlanOptions::default().tuning(tuning)).variant(), untuned, "{choice} {seconds}");
    }
    for seconds in ["\"fast\"", "1e-9", "null"] {
        let file = File::new("nonsense");
        std::fs::write(&file.0, format!("{{\"seconds\": {seconds}")).unwrap();
        assert!(matches!(Tuning::load(&file.0), Err(Error::File { .. })));
    }
    assert!(matches!(Tuning::load("/no/such/file"), Err(Error::File { .. })));
    // A file that never ends is not read to its end.
    #[cfg(unix)]
    assert!(matches!(Tuning::load("/dev/zero"), Err(Error::File { .. })));
    assert!(matches!(Tuning::new(gpu()).save("/no/such/folder/file"), Err(Error::File { .. })));
}

#[test]
fn measurements_of_another_device_are_refused() {
    let file = File::new("elsewhere");
    let tuning = Tuning::new(gpu());
    tuning.save(&file.0).unwrap();
    let text = std::fs::read_to_string(&file.0).unwrap();
    for (what, value) in [
        ("library version", &tuning.on().library),
        ("adapter", &tuning.on().adapter),
        ("backend", &tuning.on().backend),
        ("driver", &tuning.on().driver),
    ] {
        std::fs::write(&file.0, text.replace(&format!("\"{value}\""), "\"another\"")).unwrap();
        let error = own_gpu().use_tuning(Tuning::load(&file.0).unwrap()).unwrap_err();
        let expected = Error::TunedElsewhere { what, tuned: "another".into(), have: value.clone() };
        assert_eq!(error, expected);
        let options = PlanOptions::default().tuning(Tuning::load(&file.0).unwrap());
        let error = gpu().plan(Conv1d::new(1, 1, 1), Operation::Forward, [1, 1, 1], &options).unwrap_err();
        assert_eq!(error, expected);
    }
}

/// Pipelines survive in a file; a damaged file is ignored.
#[test]
#[expect(clippy::undocumented_unsafe_blocks, reason = "the files are those of this test, or have no right checksum")]
fn pipelines_are_kept_in_a_file() {
    let (file, case) = (File::new("pipelines"), case());
    let open = || {
        let gpu = Gpu::new().unwrap();
        let has_cache = gpu.device().features().contains(wgpu::Features::PIPELINE_CACHE);
        let used = unsafe { gpu.load_pipeline_cache(&file.0) }.unwrap();
        let plan = gpu.plan(case.fused, Operation::Forward, case.input, &PlanOptions::default()).unwrap();
        assert_plans(&gpu, &case, &[plan], &Data::new(&case));
        gpu.save_pipeline_cache(&file.0).unwrap();
        (has_cache, used)
    };
    let (has_cache, used) = open();
    assert!(!used, "there was no file yet");
    assert_eq!(file.0.exists(), has_cache);
    assert_eq!(open(), (has_cache, has_cache));
    for damage in [&b"conv1d"[..], b"", &[7; 300]] {
        std::fs::write(&file.0, damage).unwrap();
        assert_eq!(open(), (has_cache, false), "{damage:?}");
    }
}

/// Times are read back to the last bit. A parser that takes a short cut would not read these digits exactly.
#[test]
fn numbers_of_a_file_are_read_exactly() {
    let measured = 5.394_481_562_500_000_4e-5;
    let text = serde_json::to_string(&measured).unwrap();
    assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), f64::to_bits(measured), "{text}");
}

//! Operates the page in headless Chromium and compares the shown values with the exact reference. `make test-web` builds the page,
//! installs the browser and runs these tests; screenshots are left in target/page-screenshots.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;

use browser::{Browser, Look};
use conv1d::reference::{Exact, Oracle};
use conv1d::suite;
use conv1d::{Conv1d, Padding, PaddingMode};
use conv1d_web::filter;

const SHOWS_RESULTS: &str = "document.querySelector('#steps-results tbody tr')";

/// Parses a number as the page writes it.
fn read(text: &str) -> f64 {
    let plain = text.trim().replace('\u{2212}', "-");
    plain.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

/// All numbers in a text.
fn numbers(text: &str) -> Vec<f64> {
    let is_part = |c: char| c.is_ascii_digit() || ".e-\u{2212}".contains(c);
    text.split(|c| !is_part(c)).filter(|part| !part.is_empty()).map(read).collect()
}

/// Asserts that values shown with seven digits are these.
fn assert_shown(shown: &[f64], exact: &[Exact], what: &str) {
    assert_eq!(shown.len(), exact.len(), "{what}: {shown:?}");
    for (&shown, exact) in shown.iter().zip(exact) {
        let allowed = exact.bound() + 5.1e-7 * exact.value.abs();
        assert!((shown - exact.value).abs() <= allowed, "{what}: {shown}, exactly {}", exact.value);
    }
}

/// An example to type into the form.
#[derive(Clone)]
struct Example {
    conv: Conv1d,
    padding: (&'static str, Option<[usize; 2]>),
    x: Vec<f32>,
    w: Vec<f32>,
    bias: Vec<f32>,
    dy: Vec<f32>,
}

impl Example {
    fn length(&self) -> usize {
        self.x.len() / self.conv.in_channels
    }

    fn oracle(&self) -> Oracle {
        Oracle::new(self.conv, [1, self.conv.in_channels, self.length()]).unwrap()
    }

    /// Types everything into the form.
    fn enter(&self, page: &Browser) {
        let c = &self.conv;
        for (name, value) in [
            ("groups", 1),
            ("inChannels", c.in_channels),
            ("outChannels", c.out_channels),
            ("groups", c.groups),
            ("stride", c.stride),
            ("dilation", c.dilation),
        ] {
            page.fill(&format!("#steps-{name}"), &value.to_string());
        }
        page.choose("#steps-padding", self.padding.0);
        if let Some([left, right]) = self.padding.1 {
            page.fill("#steps-left", &left.to_string());
            page.fill("#steps-right", &right.to_string());
        }
        if c.padding != Padding::Valid {
            page.choose("#steps-mode", c.padding_mode.name());
        }
        if let PaddingMode::Constant(value) = c.padding_mode {
            page.fill("#steps-constant", &value.to_string());
        }
        let rows = |name: &str, values: &[f32], length: usize| {
            for (i, row) in values.chunks(length).enumerate() {
                let text: Vec<String> = row.iter().map(f32::to_string).collect();
                page.fill(&format!("#steps-{name}{i}"), &text.join(" "));
            }
        };
        rows("x-", &self.x, self.length());
        rows("w-", &self.w, c.kernel_size);
        let bias: Vec<String> = self.bias.iter().map(f32::to_string).collect();
        page.fill("#steps-bias", &bias.join(" "));
        page.click("#steps-operation input[value=inputGradient]");
        page.wait(&format!("document.getElementById('steps-dy-{}')", c.out_channels - 1));
        rows("dy-", &self.dy, self.dy.len() / c.out_channels);
    }

    /// Asserts that the table and every step of every operation show the values of the reference.
    fn assert_on(&self, page: &Browser) {
        let oracle = self.oracle();
        let answers = [
            ("forward", oracle.forward(&self.x, &self.w, Some(&self.bias)).unwrap()),
            ("inputGradient", oracle.input_gradient(&self.w, &self.dy).unwrap()),
            ("weightGradient", oracle.weight_gradient(&self.x, &self.dy).unwrap()),
            ("biasGradient", oracle.bias_gradient(&self.dy).unwrap()),
        ];
        for (operation, exact) in &answers {
            let row = format!("#steps-results tr[data-operation={operation}] td:nth-child");
            let what = format!("{operation} of {:?}", self.conv);
            page.wait(&format!(
                "document.querySelector('{row}(2)').innerText.match(/[\\d.]+/g).length >= {}",
                exact.len()
            ));
            assert_shown(&numbers(&page.text(&format!("{row}(2)"))), exact, &what);
            assert!(page.text(&format!("{row}(3)")).ends_with(", on the GPU"));
            assert!(read(&page.text(&format!("{row}(4)"))) <= 1.0, "{what}");

            page.click(&format!("#steps-operation input[value={operation}]"));
            for (index, exact) in exact.iter().enumerate() {
                assert_eq!(page.text("#steps-count"), format!("{} of {}", index + 1, self.count(operation)));
                let result = read(&page.text("#steps-result"));
                assert_shown(&[result], &[*exact], &format!("{what}, step {index}"));
                self.assert_products(page, *exact, &what);
                if index + 1 < self.count(operation) {
                    page.click("#steps-next");
                }
            }
        }
    }

    fn count(&self, operation: &str) -> usize {
        let shapes = *self.oracle().shapes();
        match operation {
            "forward" => shapes.output.iter().product(),
            "inputGradient" => shapes.input.iter().product(),
            "weightGradient" => shapes.weight.iter().product(),
            _ => shapes.bias[0],
        }
    }

    /// Asserts that the products written out add up to the result.
    fn assert_products(&self, page: &Browser, exact: Exact, what: &str) {
        let equation = page.text("#steps-equation");
        let products = equation.lines().nth(1).unwrap().trim_start_matches(" = ").trim_start_matches("= ").to_owned();
        if products.contains("more") {
            return;
        }
        let product = |term: &str| -> f64 { term.split('·').map(|f| read(f.trim_matches(['(', ')', ' ']))).product() };
        let sum: f64 = products.split(" + ").map(product).sum();
        if let Some(reckoned) = equation.lines().nth(2).filter(|_| equation.lines().count() > 3) {
            let terms = reckoned.trim_start_matches(" = ").trim_start_matches("= ").split(" + ").map(product);
            assert!((terms.sum::<f64>() - sum).abs() <= 1e-6 * exact.magnitude.max(1.0), "{what}: {equation}");
        }
        assert!(
            (sum - exact.value).abs() <= 1e-6 * exact.magnitude.max(1.0),
            "{what}: {products} is {sum}, not {}",
            exact.value
        );
    }
}

#[test]
fn the_worked_example_and_every_parameter() {
    let page = Browser::open("steps", Look::default());
    page.wait(SHOWS_RESULTS);
    let worked = Example {
        conv: Conv1d::new(1, 1, 3),
        padding: ("valid", None),
        x: vec![1.0, 2.0, 3.0, 4.0, 5.0],
        w: vec![1.0, 0.0, -1.0],
        bias: vec![0.0],
        dy: vec![1.0; 3],
    };
    // It is shown at once, without any input.
    assert_eq!(page.text("#steps-results tr[data-operation=forward] td:nth-child(2)"), "[[−2, −2, −2]]");
    worked.assert_on(&page);
    page.picture("steps-worked-example");

    let integers =
        |count: usize, seed: usize| -> Vec<f32> { (0..count).map(|i| ((i * 5 + seed) % 7) as f32 - 3.0).collect() };
    let conv = Conv1d::new(1, 1, 3);
    for (conv, padding, length) in [
        (conv.stride(2), ("valid", None), 9),
        (conv.dilation(3).padding(Padding::Causal), ("causal", None), 7),
        (Conv1d::new(1, 2, 4).padding(Padding::SameLower).padding_mode(PaddingMode::Circular), ("same-lower", None), 5),
        (
            Conv1d::new(2, 4, 2)
                .groups(2)
                .padding(Padding::Explicit { left: 2, right: 1 })
                .padding_mode(PaddingMode::Reflect),
            ("explicit", Some([2, 1])),
            4,
        ),
        (conv.stride(3).padding(Padding::Full).padding_mode(PaddingMode::Constant(1.5)), ("full", None), 6),
        (Conv1d::new(3, 1, 1).padding(Padding::AntiCausal), ("anti-causal", None), 3),
        (conv.dilation(2).padding(Padding::Same).padding_mode(PaddingMode::Symmetric), ("same", None), 6),
        (
            Conv1d::new(1, 1, 5).padding(Padding::both(3)).padding_mode(PaddingMode::Replicate),
            ("explicit", Some([3, 3])),
            2,
        ),
    ] {
        let shapes = conv.shapes([1, conv.in_channels, length]).unwrap();
        let example = Example {
            conv,
            padding,
            x: integers(shapes.input.iter().product(), 1),
            w: integers(shapes.weight.iter().product(), 2),
            bias: integers(conv.out_channels, 3),
            dy: integers(shapes.output.iter().product(), 4),
        };
        example.enter(&page);
        example.assert_on(&page);
        assert!(page.text("#steps-code").starts_with("Conv1d::new("));
    }
    page.picture("steps-padding");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_is_said_and_a_link_keeps_what_can() {
    let page = Browser::open("steps", Look::default());
    page.wait(SHOWS_RESULTS);
    page.fill("#steps-groups", "2");
    page.wait("!document.getElementById('steps-error').hidden");
    assert_eq!(page.text("#steps-error"), "groups 2 does not divide in_channels 1");
    assert_eq!(page.text("#steps-equation"), "");
    page.fill("#steps-groups", "1");
    page.wait(SHOWS_RESULTS);
    page.fill("#steps-x-0", "1 two 3");
    page.wait("!document.getElementById('steps-error').hidden");
    assert_eq!(page.text("#steps-error"), "x[0]: “two” is not a number");
    page.fill("#steps-x-0", "1 2");
    page.wait("document.getElementById('steps-error').innerText.includes('kernel spans')");
    assert_eq!(page.text("#steps-error"), "the kernel spans 3 samples, the padded input has only 2");
    page.fill("#steps-x-0", "4 8 6 5 3 7");
    page.wait(SHOWS_RESULTS);
    page.choose("#steps-padding", "same");
    page.click("#steps-operation input[value=weightGradient]");
    page.wait("location.hash.includes('weightGradient')");
    let shown = |page: &Browser| (page.text("#steps-results"), page.text("#steps-equation"), page.text("#steps-code"));
    page.wait("document.getElementById('steps-code').innerText.includes('Same')");
    let before = shown(&page);
    page.run("location.reload()");
    page.wait(SHOWS_RESULTS);
    assert_eq!(shown(&page), before);
    // A damaged address is reported, and shows the worked example.
    for damaged in ["%7B%22input%22%3A%5B%22x%22%5D%7D", "%7B%22stride", "{\"operation\":\"toString\"}"] {
        page.run(&format!("location.hash = '#steps?{damaged}'; location.reload()"));
        page.wait(SHOWS_RESULTS);
        assert_eq!(page.text("#steps-results tr[data-operation=forward] td:nth-child(2)"), "[[−2, −2, −2]]");
        assert_eq!(page.text("#steps-linked").is_empty(), damaged.contains("toString"), "{damaged}");
    }
    // Changes during a computation: in the end, the result of the last one is shown.
    page.choose("#steps-preset", "two groups");
    page.run(
        "const set = (id, value) => { const field = document.getElementById(id); field.value = value; field.dispatchEvent(new Event('change')); };
         set('steps-groups', 1); set('steps-kernelSize', 2); set('steps-outChannels', 1); set('steps-inChannels', 1); set('steps-x-0', '3 5 7');",
    );
    page.wait("document.querySelector('#steps-results td:nth-child(2)').innerText === '[[3, 5]]'");
    assert_eq!(page.text("#steps-code"), "Conv1d::new(1, 1, 2)");
    // A shorter length and back loses no values, and an example can be chosen again.
    page.fill("#steps-length", "1");
    page.fill("#steps-length", "3");
    page.wait("document.querySelector('#steps-results td:nth-child(2)')?.innerText === '[[3, 5]]'");
    page.choose("#steps-preset", "the worked example");
    page.wait("document.querySelector('#steps-results td:nth-child(2)').innerText === '[[−2, −2, −2]]'");
    assert_eq!(page.text("#steps-results tr[data-operation=forward] td:nth-child(2)"), "[[−2, −2, −2]]");
    // While playing, the steps advance by themselves.
    page.click("#steps-play");
    page.wait("document.getElementById('steps-count').innerText === '3 of 3'");
    page.wait("document.getElementById('steps-play').innerText === 'Play'");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

/// Samples of two channels.
fn recording(length: usize) -> [Vec<f32>; 2] {
    let sample = |i: usize, seed: usize| ((i * 7919 + seed * 104_729) % 20_011) as i32 - 10_005;
    [1, 2].map(|seed| (0..length).map(|i| sample(i, seed) as f32 / 32_768.0).collect())
}

#[test]
fn a_recording_through_a_filter() {
    let page = Browser::open("filter", Look::default());
    let filtered = "document.getElementById('filter-loudness').dataset.done";
    page.wait(filtered);
    // A file, opened as a user would.
    let length = 30_000;
    let channels = recording(length);
    let path = std::env::temp_dir().join(format!("conv1d-page-{}.wav", std::process::id()));
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 48_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for i in 0..length {
        channels.iter().for_each(|channel| writer.write_sample(channel[i]).unwrap());
    }
    writer.finalize().unwrap();
    let done = |page: &Browser, act: &dyn Fn()| {
        page.run("delete document.getElementById('filter-loudness').dataset.done");
        act();
        page.wait(filtered);
    };
    done(&page, &|| page.keys("#filter-file", path.to_str().unwrap()));
    std::fs::remove_file(&path).unwrap();
    assert!(page.text("#filter-status").contains("0.625 s, stereo at 48 kHz"), "{}", page.text("#filter-status"));

    // Asserts that the values at the cursor are those of the reference for these taps, each within `taps_off` of the page's.
    let assert_filtered = |taps: &[f32], dilation: usize, taps_off: f64| {
        let reversed: Vec<f32> = taps.iter().rev().copied().collect();
        let conv = Conv1d::new(1, 1, taps.len()).dilation(dilation).padding(Padding::both(taps.len() / 2 * dilation));
        let oracle = Oracle::new(conv, [2, 1, length]).unwrap();
        let samples = channels.concat();
        for at in [0, 1, 17, length / 2, length - 2, length - 1] {
            page.fill("#filter-cursor", &at.to_string());
            let [before, after] =
                ["before", "after"].map(|which| numbers(&page.text(&format!("#filter-value-{which}"))));
            for channel in 0..2 {
                let exact = oracle.forward_at(&samples, &reversed, None, channel * length + at).unwrap();
                let input = f64::from(channels[channel][at]);
                assert!((before[channel] - input).abs() <= 5.1e-7, "sample {at}: {before:?}, not {input}");
                let allowed = exact.bound() + 5.1e-7 + taps_off * taps.len() as f64 * 0.31;
                assert!(
                    (after[channel] - exact.value).abs() <= allowed,
                    "{} taps, at {at}: {after:?}, exactly {exact:?} within {allowed:e}",
                    taps.len()
                );
            }
        }
    };
    let cutoff = |share: f64, dilation: f64| (20.0 * 1200.0_f64.powf(share) * dilation / 48_000.0).min(0.5);
    for (name, taps, dilation) in
        [("low-pass", 31, 1_usize), ("echo", 5, 4_800), ("difference", 3, 1), ("high-pass", 63, 3), ("smooth", 9, 7)]
    {
        if page.run("return document.getElementById('filter-design').value") != name {
            done(&page, &|| page.choose("#filter-design", name));
        }
        for (id, value) in [("taps-count", taps), ("dilation", dilation)] {
            if page.run(&format!("return document.getElementById('filter-{id}').value")) != value.to_string().as_str() {
                done(&page, &|| page.fill(&format!("#filter-{id}"), &value.to_string()));
            }
        }
        let designed = filter::design(name, taps, cutoff(0.6, dilation as f64)).ok().unwrap();
        assert_filtered(&designed, dilation, 0.0);
    }
    page.picture("filter-smooth");

    // Taps set by hand: the fourth of nine by dragging, the last one by keys. The page shows taps with four decimals.
    let shown = |page: &Browser| -> Vec<f32> {
        let taps = page.run("return [...document.querySelectorAll('#filter-taps .tap')].map((t) => Number(t.getAttribute('aria-valuenow')))");
        serde_json::from_value(taps).unwrap()
    };
    let smooth = shown(&page);
    done(&page, &|| page.drag("#filter-taps", [3.5 / 9.0, 0.3], [3.5 / 9.0, 0.9]));
    let dragged = shown(&page);
    assert!(dragged[3] < -0.05 && (0..9).all(|i| i == 3 || dragged[i] == smooth[i]), "{dragged:?}");
    assert_eq!(page.run("return document.getElementById('filter-design').value"), "own");
    assert_filtered(&dragged, 7, 5.1e-5);
    page.click("#filter-taps .tap:nth-of-type(4)");
    page.keys("#filter-taps .tap[tabindex='0']", "\u{e010}");
    done(&page, &|| page.keys("#filter-taps .tap:focus", "\u{e013}\u{e013}\u{e013}"));
    page.wait("document.getElementById('filter-tap').innerText.startsWith('Tap 4')");
    let typed = shown(&page);
    assert!(typed[8] > dragged[8], "{typed:?}");
    assert_filtered(&typed, 7, 5.1e-5);
    page.picture("filter-own-taps");

    // Play, stop, save.
    page.click("#filter-play-after");
    page.wait("document.getElementById('filter-play-after').getAttribute('aria-pressed') === 'true'");
    page.click("#filter-play-before");
    page.wait("document.getElementById('filter-play-before').getAttribute('aria-pressed') === 'true'");
    assert_eq!(page.run("return document.getElementById('filter').dataset.playing"), "yes");
    page.click("#filter-stop");
    page.wait("document.getElementById('filter-stop').disabled");
    assert_eq!(page.run("return document.getElementById('filter').dataset.playing"), "no");
    let bytes = page.run(
        "return import('./sound.js').then(({ wav }) => [...new Uint8Array(wav([Float32Array.of(0.25, -2), Float32Array.of(1, 0.5)]))])",
    );
    let bytes: Vec<u8> = serde_json::from_value(bytes).unwrap();
    let mut wav = hound::WavReader::new(bytes.as_slice()).unwrap();
    assert_eq!((wav.spec().channels, wav.spec().sample_rate), (2, 48_000));
    let samples: Vec<f32> = wav.samples().map(Result::unwrap).collect();
    assert_eq!(samples, [0.25, 1.0, -2.0, 0.5]);

    // A file without sound is reported, and the recording stays.
    let text = std::env::temp_dir().join(format!("conv1d-page-{}.txt", std::process::id()));
    std::fs::write(&text, "no sound").unwrap();
    page.keys("#filter-file", text.to_str().unwrap());
    page.wait("!document.getElementById('filter-error').hidden");
    assert!(page.text("#filter-error").ends_with("the browser cannot read this as sound"));
    assert!(page.text("#filter-status").contains("0.625 s, stereo"));
    assert_filtered(&typed, 7, 5.1e-5);

    std::fs::write(&text, {
        let mut wav = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
        for sample in [0.5, f32::NAN, f32::INFINITY, 0.0] {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        wav.into_inner()
    })
    .unwrap();
    page.keys("#filter-file", text.to_str().unwrap());
    page.wait("document.getElementById('filter-error').innerText.endsWith('samples that are not finite numbers')");
    std::fs::remove_file(&text).unwrap();

    // A file dropped on the page.
    let dropped = "return import('./sound.js').then(({ wav }) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([wav([new Float32Array(960).fill(0.5)])], 'dropped.wav'));
      document.getElementById('filter').dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
    })";
    done(&page, &|| drop(page.run(dropped)));
    assert_eq!(page.text("#filter-status"), "dropped.wav: 0.02 s, mono at 48 kHz");
    assert_eq!(page.text("#filter-value-before"), "0.500000");

    // The microphone, which beeps.
    page.click("#filter-record");
    page.wait("document.getElementById('filter-record').innerText === 'Stop recording'");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    done(&page, &|| page.click("#filter-record"));
    page.wait("document.getElementById('filter-status').innerText.startsWith('the microphone: ')");
    assert!(page.text("#filter-error").is_empty());
}

#[test]
fn the_benchmark() {
    let page = Browser::open("bench", Look::default());
    page.wait("document.querySelector('nav a[aria-current]')?.hash === '#bench'");
    assert!(page.text("#bench-software").contains("software adapter"));
    page.choose("#bench-seconds", "0.2");
    page.click("#bench-operations label:nth-of-type(3)");
    page.click("#bench-run");
    page.wait("document.querySelectorAll('#bench-table tbody tr').length >= 8");
    page.click("#bench-stop");
    page.wait("document.getElementById('bench-status').dataset.state === 'done'");
    assert!(page.text("#bench-status").starts_with("Stopped: "));
    let rows = page.run("return [...document.querySelectorAll('#bench-table tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))");
    let rows: Vec<Vec<String>> = serde_json::from_value(rows).unwrap();
    let roofline = numbers(&page.text("#bench-cards .card:nth-child(1) b"))[0];
    let layers = suite::layers();
    for row in &rows {
        let [name, operation, input, ms, gflops, _, _, _, error] = row.as_slice() else { panic!("{row:?}") };
        assert!(["forward", "input gradient"].contains(&operation.as_str()));
        let spec = layers.iter().find(|spec| spec.name == *name).unwrap().clone();
        let shape = numbers(input);
        let run = suite::LayerSpec { n: shape[0] as usize, l: shape[2] as usize, ..spec };
        let (ms, gflops) = (read(ms), read(gflops));
        assert!((ms * gflops / (run.flops() / 1e6) - 1.0).abs() < 2e-3, "{row:?}: {} GFLOP", run.flops() / 1e9);
        assert!(read(error) <= 1.0, "{row:?}");
        assert!(gflops > 0.0 && gflops <= roofline * 1.2, "{row:?} of {roofline}");
    }
    assert_eq!(page.run("return document.querySelectorAll('#bench-roofline circle').length"), rows.len());
    page.picture("bench");
    // The file has the same rows, in the format that `conv1d bench --compare` reads.
    let file = page.run("return import('./bench.js').then(({ file }) => file())");
    let saved: usize =
        file["results"].as_array().unwrap().iter().map(|layer| layer["ops"].as_object().unwrap().len()).sum();
    assert_eq!(saved, rows.len());
    let first = &file["results"][0];
    assert_eq!(first["name"], rows[0][0].as_str());
    assert!((first["ops"]["fwd"]["ms"].as_f64().unwrap() / read(&rows[0][3]) - 1.0).abs() < 1e-3, "{first}");
    // A run without a selected operation is an error.
    page.click("#bench-operations label:nth-of-type(2)");
    page.click("#bench-operations label:nth-of-type(1)");
    page.click("#bench-run");
    page.wait("!document.getElementById('bench-error').hidden");
    assert_eq!(page.text("#bench-error"), "Select at least one operation to measure.");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn without_webgpu_it_says_what_to_do() {
    let page = Browser::open("", Look { without_gpu: true, ..Look::default() });
    page.wait(SHOWS_RESULTS);
    assert!(page.text("#trouble").starts_with("This browser gives no access to a GPU"));
    assert!(page.text("#trouble").contains("chrome://flags/#enable-unsafe-webgpu"));
    assert_eq!(page.text("#steps-results tr[data-operation=forward] td:nth-child(2)"), "[[−2, −2, −2]]");
    assert_eq!(page.text("#steps-results tr[data-operation=forward] td:nth-child(3)"), "the reference");
    for part in ["filter", "bench"] {
        page.click(&format!("nav a[href='#{part}']"));
        page.wait(&format!("document.querySelector('nav a[aria-current]').hash === '#{part}'"));
        assert_eq!(page.run(&format!("return document.getElementById('{part}').hidden")), true);
    }
    page.picture("without-webgpu");
}

#[test]
fn on_a_phone_in_the_dark_and_by_keyboard() {
    let page = Browser::open("steps", Look { phone: true, dark: true, ..Look::default() });
    page.wait(SHOWS_RESULTS);
    let paper = page.run("return getComputedStyle(document.body).backgroundColor");
    assert!(numbers(paper.as_str().unwrap()).iter().all(|&part| part < 60.0), "{paper}");
    for part in ["steps", "filter", "bench"] {
        // By keyboard alone.
        page.keys(&format!("nav a[href='#{part}']"), "\u{e007}");
        page.wait(&format!("!document.getElementById('{part}').hidden"));
        if part == "filter" {
            page.wait("document.getElementById('filter-loudness').dataset.done");
        }
        let wide = page.run("return document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{part} is {wide} points too wide");
        // Controls are large enough for a finger, and have a name.
        let small = page.run(
            "return [...document.querySelectorAll('button, select, input:not([type=file])')]
               .filter((e) => e.checkVisibility() && !['range', 'checkbox', 'radio'].includes(e.type) && e.getBoundingClientRect().height < 36)
               .map((e) => e.id)",
        );
        assert_eq!(small.as_array().unwrap().len(), 0, "{small}");
        let nameless = page.run(
            "return [...document.querySelectorAll('button, select, input')]
               .filter((e) => !e.labels?.length && !e.getAttribute('aria-label') && !e.innerText).map((e) => e.outerHTML)",
        );
        assert_eq!(nameless.as_array().unwrap().len(), 0, "{nameless}");
        page.picture(&format!("phone-dark-{part}"));
    }
    page.keys("nav a[href='#steps']", "\u{e007}");
    page.wait("!document.getElementById('steps').hidden");
    page.keys("#steps-step", "\u{e014}\u{e014}");
    assert_eq!(page.text("#steps-count"), "3 of 3");
    page.keys("#steps-operation input:checked", "\u{e014}");
    page.wait("document.querySelector('#steps-operation input[value=inputGradient]').checked");
    assert!(page.text("#steps-equation").starts_with("dx[0,0]"));
    assert_eq!(page.complaints(), Vec::<String>::new());
}

//! Trains a TCN on the GPU on the two memory tasks of Bai, Kolter and Koltun (2018,
//! <https://arxiv.org/abs/1803.01271>):
//!
//! ```sh
//! cargo run --release --example train_tcn -- adding          # add the two marked numbers of a sequence
//! cargo run --release --example train_tcn -- copy            # repeat ten digits after a long pause
//! ```
//!
//! A progress bar shows the loss. At the end, the program prints the loss on unseen sequences and writes the loss curve
//! as SVG. With `--checkpoint FILE`, a stopped run continues from its last checkpoint.
//!
//! How long it takes where, and what comes out, is in the README.

use clap::{Parser, ValueEnum};
use conv1d::Gpu;
use conv1d_nn::{
    Adam, Checkpoints, Dataset, Loss, Mode, Network, Session, SessionOptions, Tcn, Trainer, TrainerOptions,
};
use indicatif::{ProgressBar, ProgressStyle};
use plotters::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Task {
    /// The sum of the two marked numbers among numbers from 0 to 1. Guessing 1 gives a loss of 1/6.
    Adding,
    /// Ten digits, a pause, a signal; the target is the ten digits again after the signal. Guessing gives
    /// 10 ln 8 / (T + 20).
    Copy,
}

/// Trains a TCN on a task of Bai et al. (2018).
#[derive(Debug, Parser)]
struct Arguments {
    task: Task,
    /// T: the count of numbers, or the length of the pause. [default: 32 for adding, 50 for copy]
    #[arg(long)]
    length: Option<usize>,
    /// [default: 3000 for adding, 1000 for copy]
    #[arg(long)]
    steps: Option<u64>,
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Channels of the blocks.
    #[arg(long, default_value_t = 24)]
    hidden: usize,
    /// Kernel size K.
    #[arg(long, default_value_t = 6)]
    kernel: usize,
    /// Number of blocks; each doubles the receptive field. [default: enough for the whole sequence]
    #[arg(long)]
    levels: Option<usize>,
    #[arg(long, default_value_t = 0.0)]
    dropout: f32,
    #[arg(long, default_value_t = 0.008)]
    learning_rate: f64,
    /// Maximum norm of all gradients together.
    #[arg(long, default_value_t = 1.0)]
    clip: f32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Checkpoint file, written every 50 steps. If it exists, the run continues from it.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// File for the loss curve.
    #[arg(long, default_value = "target/train_tcn.svg")]
    curve: PathBuf,
}

/// Number of training sequences, as in the paper, and of the test sequences after them.
const TRAINED: usize = 50_000;
const TESTED: usize = 1024;

/// The random generator of a sequence.
fn generator(seed: u64, index: usize) -> SmallRng {
    SmallRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64))
}

struct Adding {
    seed: u64,
}

impl Dataset for Adding {
    type Target = f32;

    fn len(&self) -> usize {
        TRAINED
    }

    fn sample(&self, index: usize, input: &mut [f32], target: &mut [f32]) {
        let mut random = generator(self.seed, index);
        let length = input.len() / 2;
        let (numbers, marks) = input.split_at_mut(length);
        numbers.iter_mut().for_each(|number| *number = random.random());
        marks.fill(0.0);
        // One in each half, as in the paper's code.
        let places = [random.random_range(0..length / 2), random.random_range(length / 2..length)];
        places.iter().for_each(|&place| marks[place] = 1.0);
        target[0] = places.iter().map(|&place| numbers[place]).sum();
    }
}

struct Copy {
    seed: u64,
}

/// Number of digits to remember, and number of classes: digits 1 to 8; 0 is the pause and 9 the signal.
const REMEMBERED: usize = 10;
const CLASSES: usize = 10;

impl Dataset for Copy {
    type Target = u32;

    fn len(&self) -> usize {
        TRAINED
    }

    fn sample(&self, index: usize, input: &mut [f32], target: &mut [u32]) {
        let mut random = generator(self.seed, index);
        let length = target.len();
        input.fill(0.0);
        target.fill(0);
        for place in 0..REMEMBERED {
            let digit: u32 = random.random_range(1..=8);
            input[place] = digit as f32;
            target[length - REMEMBERED + place] = digit;
        }
        input[length - REMEMBERED - 1..].fill(9.0);
    }
}

/// Tests a network on unseen sequences. Returns the loss, and the share of right answers as text.
fn test(
    session: &Session,
    task: Task,
    data: &dyn Fn(usize, &mut [f32]) -> Vec<f64>,
) -> conv1d_nn::Result<(f64, String)> {
    let shape = session.input().shape().to_vec();
    let (batch, each) = (shape[0], shape[1] * shape[2]);
    let (mut loss, mut right, mut count) = (0.0, 0_usize, 0_usize);
    for first in (0..TESTED / batch * batch).step_by(batch) {
        let mut x = vec![0.0; batch * each];
        let targets: Vec<Vec<f64>> =
            x.chunks_mut(each).enumerate().map(|(i, x)| data(TRAINED + first + i, x)).collect();
        session.input().write(&x)?;
        session.forward()?;
        let y = session.output().read()?;
        for (targets, y) in targets.iter().zip(y.chunks(y.len() / batch)) {
            match task {
                Task::Adding => {
                    let error = f64::from(y[0]) - targets[0];
                    loss += error * error;
                    right += usize::from(error.abs() < 0.04);
                    count += 1;
                }
                Task::Copy => {
                    let length = targets.len();
                    for (t, &target) in targets.iter().enumerate() {
                        let logits: Vec<f64> = (0..CLASSES).map(|c| y[c * length + t].into()).collect();
                        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
                        loss += (sum.ln() - logits[target as usize]) / length as f64;
                        if t >= length - REMEMBERED {
                            let best = (0..CLASSES).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
                            right += usize::from(best == Some(target as usize));
                            count += 1;
                        }
                    }
                }
            }
        }
    }
    let share = 100.0 * right as f64 / count as f64;
    let said = match task {
        Task::Adding => format!("{share:.1} % of the sums are right to 0.04"),
        Task::Copy => format!("{share:.2} % of the remembered digits are right"),
    };
    Ok((loss / (TESTED / batch * batch) as f64, said))
}

/// Draws the loss of every step, and its mean over 20 steps, on a logarithmic axis.
fn draw(losses: &[(u64, f32)], guess: f64, path: &Path) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let positive = || losses.iter().filter(|(_, loss)| *loss > 0.0 && loss.is_finite());
    let (Some(first), Some(last)) = (positive().next(), positive().next_back()) else {
        println!("no step was done, so there is no loss curve");
        return Ok(());
    };
    let bound =
        |start: f32, choose: fn(f32, f32) -> f32| positive().fold(start, |bound, (_, loss)| choose(bound, *loss));
    let (low, high) = (bound(f32::MAX, f32::min), bound(f32::MIN_POSITIVE, f32::max).max(guess as f32));
    let root = SVGBackend::new(path, (900, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(first.0..last.0 + 1, (low / 1.5..high * 1.5).log_scale())?;
    chart.configure_mesh().x_desc("step").y_desc("loss").y_label_formatter(&|loss| format!("{loss:.0e}")).draw()?;
    chart
        .draw_series(positive().map(|&(step, loss)| Circle::new((step, loss), 1, RGBColor(170, 190, 215).filled())))?;
    let means = losses.chunks(20).map(|few| {
        let mean = few.iter().map(|(_, loss)| loss).sum::<f32>() / few.len() as f32;
        (few[few.len() / 2].0, mean.max(f32::MIN_POSITIVE))
    });
    chart.draw_series(LineSeries::new(means, RGBColor(30, 80, 160).stroke_width(2)))?.label("mean of 20 steps");
    let line = [(first.0, guess as f32), (last.0, guess as f32)];
    chart.draw_series(LineSeries::new(line, RGBColor(200, 80, 60).stroke_width(1)))?;
    root.present()?;
    println!("loss curve of the steps of this run: {}", path.display());
    Ok(())
}

/// Number of steps with the same learning rate.
const SAME_RATE: u64 = 50;

/// Trains until all steps are done. Returns the losses of the steps of this run.
fn train<D: Dataset>(
    trainer: &mut Trainer,
    data: &D,
    steps: u64,
    arguments: &Arguments,
) -> conv1d_nn::Result<Vec<(u64, f32)>> {
    let style = "{elapsed_precise} {bar:40} {pos}/{len} steps, {per_sec}, loss {msg}, {eta} left";
    let bar = ProgressBar::new(steps).with_position(trainer.steps());
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.reset_eta();
    let mut losses = Vec::new();
    let checkpoints = arguments.checkpoint.clone().map(|path| Checkpoints::new(path, SAME_RATE));
    let mut finite = true;
    while trainer.steps() < steps && finite {
        // The rate follows half a cosine and depends only on the step, so that a resumed run has the same rates.
        let part = trainer.steps() / SAME_RATE * SAME_RATE;
        let fallen = 0.5 + 0.5 * (std::f64::consts::PI * part as f64 / steps as f64).cos();
        trainer.set_learning_rate(arguments.learning_rate * fallen)?;
        trainer.fit(data, (part + SAME_RATE).min(steps), checkpoints.as_ref(), |progress| {
            losses.push((progress.step, progress.loss));
            bar.set_position(progress.step);
            bar.set_message(format!("{:.2e}", progress.loss));
            // A loss that is NaN or infinite does not recover.
            finite = progress.loss.is_finite();
            if finite { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    bar.finish();
    Ok(losses)
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let task = arguments.task;
    if !(1..=TESTED).contains(&arguments.batch) {
        return Err(format!("--batch {} is not from 1 to {TESTED}", arguments.batch).into());
    }
    let (length, steps) = match task {
        Task::Adding => (arguments.length.unwrap_or(32), arguments.steps.unwrap_or(3000)),
        Task::Copy => (arguments.length.unwrap_or(50), arguments.steps.unwrap_or(1000)),
    };
    if !(2..=1 << 20).contains(&length) {
        return Err(format!("--length {length} is not from 2 to 1048576").into());
    }
    let samples = if task == Task::Adding { length } else { length + 2 * REMEMBERED };
    let levels = arguments.levels.unwrap_or_else(|| {
        let field = |levels: u32| 1 + 2 * arguments.kernel.saturating_sub(1).max(1) * ((1_usize << levels) - 1);
        (1..24).find(|&levels| field(levels) >= samples).unwrap_or(24) as usize
    });
    let tcn = match task {
        Task::Adding => Tcn::new(2, arguments.hidden, 1),
        Task::Copy => Tcn::new(1, arguments.hidden, CLASSES).every_step(true),
    };
    let tcn = tcn.kernel_size(arguments.kernel).layers(levels).dropout(arguments.dropout);
    let shape = [arguments.batch, if task == Task::Adding { 2 } else { 1 }, samples];

    let gpu = Gpu::new()?;
    println!("{}", gpu.adapter_info().name);
    let network = Network::new(&gpu, &tcn, arguments.seed)?;
    println!("{}", network.summary(shape)?);
    let (loss, guess) = match task {
        Task::Adding => (Loss::MeanSquaredError, 1.0 / 6.0),
        Task::Copy => (Loss::CrossEntropy, REMEMBERED as f64 * 8_f64.ln() / samples as f64),
    };
    let options = TrainerOptions::default().clip_norm(arguments.clip).seed(arguments.seed);
    let mut trainer = network.trainer_with(shape, loss, Adam::new(arguments.learning_rate), &options)?;
    println!("memory {}", trainer.memory());
    if let Some(path) = arguments.checkpoint.as_ref().filter(|path| path.exists()) {
        trainer.resume(path)?;
        println!("continuing from step {} of {}", trainer.steps(), path.display());
    }
    let (adding, copy) = (Adding { seed: arguments.seed }, Copy { seed: arguments.seed });
    let losses = match task {
        Task::Adding => train(&mut trainer, &adding, steps, arguments)?,
        Task::Copy => train(&mut trainer, &copy, steps, arguments)?,
    };
    let session = network.session_with(shape, &SessionOptions::default().mode(Mode::Evaluation))?;
    let (loss, said) = test(&session, task, &|index, x: &mut [f32]| match task {
        Task::Adding => {
            let mut target = [0.0];
            adding.sample(index, x, &mut target);
            vec![target[0].into()]
        }
        Task::Copy => {
            let mut target = vec![0; samples];
            copy.sample(index, x, &mut target);
            target.into_iter().map(f64::from).collect()
        }
    })?;
    let tested = TESTED / arguments.batch * arguments.batch;
    println!("loss {loss:.2e} on {tested} unseen sequences; guessing gives {guess:.2e}; {said}");
    draw(&losses, guess, &arguments.curve)?;
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! `convolve`, `correlate` and `autocorrelate`, against their definitions and SciPy's answers.

use crate::harness::{gpu, values};
use conv1d::{Mode, Tensor};

const MODES: [Mode; 3] = [Mode::Full, Mode::Same, Mode::Valid];

/// `sum over i of x[i] * v[m - i]` for all `m`.
fn full(x: &[f32], v: &[f32]) -> Vec<f64> {
    let mut y = vec![0.0; x.len() + v.len() - 1];
    for (i, &a) in x.iter().enumerate() {
        for (k, &b) in v.iter().enumerate() {
            y[i + k] += f64::from(a) * f64::from(b);
        }
    }
    y
}

/// The part of a full result that a mode returns.
fn part(full: &[f64], n: usize, m: usize, mode: Mode) -> Vec<f64> {
    let (first, length) = match mode {
        Mode::Full => (0, full.len()),
        Mode::Same => ((full.len() - n) / 2, n),
        Mode::Valid => (n.min(m) - 1, n.abs_diff(m) + 1),
    };
    full[first..first + length].to_vec()
}

fn tensor(values: &[f32]) -> Tensor {
    gpu().tensor(values, [values.len()]).unwrap()
}

fn assert_close(got: &Tensor, expected: &[f64], what: &str) {
    let values = got.read().unwrap();
    assert_eq!(got.shape().last(), Some(&expected.len()), "{what}");
    for (index, (g, e)) in values.iter().zip(expected).enumerate() {
        // At most 20 terms of products below 1.
        assert!((f64::from(*g) - e).abs() <= conv1d::reference::gamma(21) * 20.0, "{what}[{index}]: {g}, expected {e}");
    }
}

/// No rows of a length that nothing could be added to.
#[test]
fn absurd_lengths_are_refused() {
    let (x, v) = (gpu().tensor(&[], [0, usize::MAX]).unwrap(), gpu().tensor(&[1.0, 2.0], [2]).unwrap());
    let too_large = |result: conv1d::Result<Tensor>| {
        assert!(matches!(result, Err(conv1d::Error::TooLarge { .. })), "{result:?}");
    };
    too_large(gpu().convolve(&x, &v, Mode::Full));
    too_large(gpu().correlate(&x, &v, Mode::Full));
    too_large(gpu().autocorrelate(&x, Mode::Full));
}

/// `scipy.signal.convolve` and `correlate` of [1, 2, 3] and [0, 1, 0.5].
#[test]
fn answers_of_scipy() {
    let (x, v) = (tensor(&[1.0, 2.0, 3.0]), tensor(&[0.0, 1.0, 0.5]));
    let read = |t: conv1d::Result<Tensor>| t.unwrap().read().unwrap();
    assert_eq!(read(gpu().convolve(&x, &v, Mode::Full)), [0.0, 1.0, 2.5, 4.0, 1.5]);
    assert_eq!(read(gpu().convolve(&x, &v, Mode::Same)), [1.0, 2.5, 4.0]);
    assert_eq!(read(gpu().convolve(&x, &v, Mode::Valid)), [2.5]);
    assert_eq!(read(gpu().correlate(&x, &v, Mode::Full)), [0.5, 2.0, 3.5, 3.0, 0.0]);
    assert_eq!(read(gpu().correlate(&x, &v, Mode::Same)), [2.0, 3.5, 3.0]);
    assert_eq!(read(gpu().correlate(&x, &v, Mode::Valid)), [3.5]);
    assert_eq!(read(gpu().autocorrelate(&x, Mode::Full)), [3.0, 8.0, 14.0, 8.0, 3.0]);
}

#[test]
fn all_modes_and_lengths() {
    for n in [1, 2, 3, 8, 20] {
        for m in [1, 2, 3, 7, 20] {
            let (x, v) = (values(n as u64, n), values(m as u64 + 50, m));
            let reversed: Vec<f32> = v.iter().rev().copied().collect();
            for mode in MODES {
                let what = format!("{n} and {m}, {mode:?}");
                let expected = part(&full(&x, &v), n, m, mode);
                assert_close(&gpu().convolve(&tensor(&x), &tensor(&v), mode).unwrap(), &expected, &what);
                let expected = part(&full(&x, &reversed), n, m, mode);
                assert_close(&gpu().correlate(&tensor(&x), &tensor(&v), mode).unwrap(), &expected, &what);
            }
        }
    }
}

/// Every row of a batch, with one kernel or with itself.
#[test]
fn rows_of_a_batch() {
    let (x, v) = (values(1, 2 * 3 * 12), values(2, 5));
    let batch = gpu().tensor(&x, [2, 3, 12]).unwrap();
    for mode in MODES {
        let convolved = gpu().convolve(&batch, &tensor(&v), mode).unwrap();
        let expected: Vec<f64> = x.chunks(12).flat_map(|row| part(&full(row, &v), 12, 5, mode)).collect();
        assert_eq!(convolved.shape()[..2], [2, 3]);
        assert_close(&convolved.reshape([expected.len()]).unwrap(), &expected, "convolve");
        let itself = gpu().autocorrelate(&batch, mode).unwrap();
        let own = |row: &[f32]| part(&full(row, &row.iter().rev().copied().collect::<Vec<_>>()), 12, 12, mode);
        let expected: Vec<f64> = x.chunks(12).flat_map(own).collect();
        assert_close(&itself.reshape([expected.len()]).unwrap(), &expected, "autocorrelate");
        // A kernel longer than the rows: the arguments change places.
        let long = values(3, 17);
        let swapped = gpu().convolve(&batch, &tensor(&long), mode).unwrap();
        let expected: Vec<f64> = x.chunks(12).flat_map(|row| part(&full(row, &long), 12, 17, mode)).collect();
        assert_close(&swapped.reshape([expected.len()]).unwrap(), &expected, "longer kernel");
    }
}

#[test]
fn no_rows_and_wrong_shapes() {
    let none = gpu().zeros([0, 9]).unwrap();
    let v = tensor(&[1.0, 2.0]);
    assert_eq!(gpu().convolve(&none, &v, Mode::Full).unwrap().shape(), [0, 10]);
    assert_eq!(gpu().correlate(&none, &v, Mode::Valid).unwrap().shape(), [0, 8]);
    assert_eq!(gpu().autocorrelate(&none, Mode::Same).unwrap().shape(), [0, 9]);
    assert!(gpu().convolve(&gpu().zeros([3, 0]).unwrap(), &v, Mode::Full).is_err());
    assert!(gpu().convolve(&v, &gpu().zeros([2, 2]).unwrap(), Mode::Full).is_err());
    assert!(gpu().autocorrelate(&gpu().zeros([0usize; 0]).unwrap(), Mode::Full).is_err());
}

//! Keys, and the orders in which they are asked for.

use fastrand::Rng;

/// Keys of 20 bytes or so, as programs have them.
pub fn texts(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| format!("user:profile:{at:07}"))
        .collect()
}

/// `count` draws of `keys` keys, as often as Zipf has it, the first most.
pub fn zipf(keys: usize, skew: f64, count: usize, seed: u64) -> Vec<u32> {
    let mut sum = 0.0;
    let weights = (1..=keys).map(|rank| {
        sum += (rank as f64).powf(-skew);
        sum
    });
    let weights: Vec<f64> = weights.collect();
    let mut dice = Rng::with_seed(seed);
    let mut draw = || {
        let at = dice.f64() * sum_of(&weights);
        weights.partition_point(|sum| *sum < at) as u32
    };
    (0..count).map(|_| draw()).collect()
}

fn sum_of(weights: &[f64]) -> f64 {
    weights.last().copied().unwrap_or_default()
}

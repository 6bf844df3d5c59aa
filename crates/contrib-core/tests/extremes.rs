//! Numbers at the end of the range of their type, and infinite ones, in dense and in factored parts.

mod common;

use common::{view, view_mut};
use contrib_core::{Directions, FactoredParts, Group, Norm, Options, Out, Parts, group_contributions};
use contrib_testing::{Kind, Layout, Random, Stored, naive};

/// Norms of every way to measure.
const NORMS: [f64; 5] = [1.0, 2.0, 3.0, f64::INFINITY, 2.7];

/// The product of a coefficient and a direction.
type Part = (f64, Vec<f64>);

/// The vectors that are these products.
fn vectors(parts: &[Part]) -> Vec<Vec<f64>> {
    let ones = |direction: &[f64]| vec![1.0; direction.len()];
    parts
        .iter()
        .map(|(coefficient, direction)| naive::factored_part(*coefficient, direction, &ones(direction)))
        .collect()
}

/// The contributions of these parts to a whole: once given as vectors, and once as coefficients and directions.
fn contributions(kind: Kind, whole: &[f64], parts: &[Part], norm: f64) -> [(&'static str, Vec<f64>); 2] {
    let stored = |shape: &[usize], numbers: &[f64]| Stored::from_fn(kind, Layout::row_major(shape), |i| numbers[i]);
    let shape = [parts.len(), whole.len()];
    let dense = stored(&shape, &vectors(parts).concat());
    let (coefficients, directions): (Vec<f64>, Vec<Vec<f64>>) = parts.iter().cloned().unzip();
    let (coefficients, directions) = (stored(&shape[..1], &coefficients), stored(&shape, &directions.concat()));
    let whole = stored(&shape[1..], whole);
    let factored = FactoredParts {
        coefficients: view(&coefficients).into(),
        directions: Directions::Vectors(view(&directions)),
        scale: None,
        leave_out_zeros: false,
    };
    [("dense", Parts::Dense(view(&dense))), ("factored", Parts::Factored(factored))].map(|(name, parts)| {
        let mut out = Stored::blank(Kind::F64, Layout::row_major(&shape[..1]));
        let group = Group { parts, out: Out::Each(view_mut(&mut out)) };
        let options = Options::default().norm(Norm::new(norm).unwrap());
        group_contributions(&view(&whole), &mut [group], &options).unwrap();
        (name, out.to_f64())
    })
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], tolerance: f64, name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance, "{name}: {found:e}, expected {expected:e}");
    }
}

#[test]
fn proximities_whose_sum_is_beyond_f64_give_the_right_quotients() {
    let mut random = Random::new(1);
    for len in [1, 20, 300] {
        let vector: Vec<f64> = (0..len).map(|_| random.normal()).collect();
        for norm in NORMS {
            let scale = 1.5e308 / naive::norm(&vector, norm);
            let whole: Vec<f64> = vector.iter().map(|x| x * scale).collect();
            let coefficients = [1.0, 0.75, 0.5, 0.25];
            let parts = coefficients.map(|coefficient| (coefficient, whole.clone()));
            // Multiples of the whole have the same multiples of its norm as proximities.
            let expected = coefficients.map(|coefficient| coefficient / 2.5);
            for (form, found) in contributions(Kind::F64, &whole, &parts, norm) {
                assert_near(&found, &expected, 1e-12, &format!("{form}, norm {norm}, length {len}"));
            }
        }
    }
}

#[test]
fn parts_beside_an_infinite_one_keep_their_precision() {
    let mut random = Random::new(2);
    let mut single = |scale: f64| f64::from((scale * random.normal()) as f32);
    for len in [1, 20, 300] {
        for largest in [1.0, 1e30, 9e37, 1e38, 2.5e38] {
            let mut whole: Vec<f64> = (0..len).map(|_| single(1.0)).collect();
            whole[len / 2] = f64::from(largest as f32);
            let near: Vec<f64> = whole.iter().map(|x| x + single(0.1)).map(|x| f64::from(x as f32)).collect();
            let mut with_infinity = near.clone();
            with_infinity[len / 3] = f64::INFINITY;
            for infinite in [
                (f64::INFINITY, near.clone()),
                (-f64::INFINITY, near.clone()),
                (0.5, with_infinity.clone()),
                (f64::INFINITY, with_infinity.clone()),
                // The zero vector, since its coefficient is 0.
                (0.0, with_infinity),
            ] {
                // The first exceeds the whole, element by element.
                let parts = [(1.25, near.clone()), infinite, (0.5, near.clone()), (0.25, whole.clone())];
                for norm in NORMS {
                    let [expected] = &naive::contributions(&whole, &[vectors(&parts)], norm)[..] else {
                        unreachable!("one group")
                    };
                    for (form, found) in contributions(Kind::F32, &whole, &parts, norm) {
                        let name = format!("{form}, norm {norm}, length {len}, largest {largest:e}, {:?}", parts[1].0);
                        assert_near(&found, expected, 1e-7, &name);
                    }
                }
            }
        }
    }
}

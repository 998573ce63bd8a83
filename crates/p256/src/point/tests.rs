use super::*;

const G: Affine = Affine::GENERATOR;

/// Both ways to add, which know nothing of each other, give one sum.
fn sum(a: &Affine, b: &Affine) -> Option<Affine> {
    let mut sums = Points::EMPTY;
    add_pairs(&[[*a, *b]], &mut sums).unwrap();
    let by_line = sums.as_slice().first().copied();
    assert_eq!(by_line, Jacobian::from(*a).plus(b).to_affine());
    // The same point with another z.
    let (z, z_squared) =
        (Field::from_limbs_below_p([7, 0, 9, 0]), Field::from_limbs_below_p([7, 0, 9, 0]).squared());
    let other = Jacobian { x: a.x.times(&z_squared), y: a.y.times(&z_squared.times(&z)), z };
    assert_eq!(by_line, other.plus(b).to_affine());
    if let Some(sum) = by_line {
        assert!(sum.is_on_the_curve());
    }
    by_line
}

#[test]
fn equal_points_are_doubled_and_opposite_ones_cancel() {
    assert!(G.is_on_the_curve());
    assert_eq!(sum(&G, &G), Some(G.doubled()));
    assert_eq!(sum(&G, &G.negated()), None);
    assert_eq!(Jacobian::INFINITY.plus(&G).to_affine(), Some(G));
    assert_eq!(sum(&G.doubled(), &G.negated()), Some(G));
}

#[test]
fn addition_is_a_groups() {
    let mut multiples = vec![G];
    for _ in 0..40 {
        multiples.push(sum(multiples.last().unwrap(), &G).unwrap());
    }
    for (a, one) in multiples.iter().enumerate() {
        for (b, other) in multiples.iter().enumerate() {
            assert_eq!(sum(one, other), sum(other, one));
            if let Some(both) = multiples.get(a + b + 1) {
                assert_eq!(sum(one, other), Some(*both));
            }
            let difference = sum(one, &other.negated());
            if a > b {
                assert_eq!(difference, Some(multiples[a - b - 1]));
            } else if a == b {
                assert_eq!(difference, None);
            }
        }
    }
}

/// Pairs that cancel or are one point stand beside others in a batch and do not disturb them.
#[test]
fn a_batch_with_exceptional_pairs() {
    let (two, three) = (G.doubled(), sum(&G.doubled(), &G).unwrap());
    let mut sums = Points::EMPTY;
    add_pairs(
        &[[G, two], [G, G.negated()], [two, two], [two.negated(), two], [two, three.negated()]],
        &mut sums,
    )
    .unwrap();
    assert_eq!(sums.as_slice(), [three, two.doubled(), G.negated()]);
    let mut none = Points::EMPTY;
    add_pairs(&[], &mut none).unwrap();
    assert!(none.as_slice().is_empty());
}

#[test]
fn points_off_the_curve_are_none() {
    let mut bytes = [0; 65];
    assert!(Affine::from_bytes(&bytes).is_none());
    bytes[0] = 4;
    assert!(Affine::from_bytes(&bytes).is_none());
    bytes[1..].fill(0xff);
    assert!(Affine::from_bytes(&bytes).is_none());
}

#[test]
fn r_plus_n_is_compared_where_it_is_below_p() {
    let scalar = |limbs| Scalar::from_signature(&crate::differential::to_bytes(limbs)).unwrap();
    // p − n, little-endian.
    let gap = [0x0c46_353d_039c_daae, 0x4319_0553_58e8_617b, 0, 0];
    assert!(plus_n_below_p(&scalar(gap)).is_none());
    assert_eq!(plus_n_below_p(&scalar([gap[0] - 1, gap[1], 0, 0])), Some(Field::ONE.negated()));
    assert!(plus_n_below_p(&scalar([N[0] - 1, N[1], N[2], N[3]])).is_none());
}

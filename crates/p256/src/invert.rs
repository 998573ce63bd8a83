//! Inverses mod an odd number by division steps: Bernstein and Yang, "Fast constant-time gcd computation and
//! modular inversion" (2019), in the variable-time form with 62 steps at a time that libsecp256k1's
//! `doc/safegcd_implementation.md` (Wuille) explains. Its names are used here.
//!
//! Nothing depends on this being right: whoever asks multiplies the answer with what was asked about.

#![expect(
    clippy::indexing_slicing,
    reason = "limbs are five, and nothing here comes from outside as an index"
)]

/// Five limbs of 62 bits, the last one with the sign.
type Signed62 = [i64; 5];

const LOW_62: u64 = u64::MAX >> 2;
/// More batches than 62 steps could ever be needed for 256 bits (741 steps: Bernstein and Yang, theorem 11.2).
const MOST_BATCHES: usize = 12;

/// An odd modulus below 2²⁵⁶.
pub(crate) struct Modulus {
    limbs: Signed62,
    /// Its inverse mod 2⁶².
    inverse: u64,
}

/// What 62 division steps do to f and g, times 2⁶²: f becomes uf + vg, g becomes qf + rg.
struct Steps {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

impl Modulus {
    pub(crate) const fn new(m: [u64; 4]) -> Self {
        // Newton: each turn doubles the number of bits that are right; m is its own inverse mod 8.
        let mut inverse = m[0];
        let mut turn = 0;
        while turn < 5 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(m[0].wrapping_mul(inverse)));
            turn += 1;
        }
        Self { limbs: to_signed62(m), inverse: inverse & LOW_62 }
    }

    /// The inverse of `number`, below m; zero, or anything, where there is none.
    pub(crate) fn invert(&self, number: [u64; 4]) -> [u64; 4] {
        let (mut f, mut g) = (self.limbs, to_signed62(number));
        let (mut d, mut e) = ([0; 5], [1, 0, 0, 0, 0]);
        let mut eta = -1;
        for _ in 0..MOST_BATCHES {
            let steps = divide_62(&mut eta, f[0], g[0]);
            self.update_de(&mut d, &mut e, &steps);
            update_fg(&mut f, &mut g, &steps);
            if g == [0; 5] {
                break;
            }
        }
        self.normalized(d, f[4] < 0)
    }

    /// (d, e) becomes ((ud + ve) / 2⁶², (qd + re) / 2⁶²) mod m; both stay between −2m and m.
    fn update_de(&self, d: &mut Signed62, e: &mut Signed62, steps: &Steps) {
        let Steps { u, v, q, r } = *steps;
        let (d_sign, e_sign) = (d[4] >> 63, e[4] >> 63);
        // How many times m is to be added: once for each negative one, then what makes the lowest limb zero.
        let mut d_times = (u & d_sign).wrapping_add(v & e_sign);
        let mut e_times = (q & d_sign).wrapping_add(r & e_sign);
        let mut d_sum = product(u, d[0]) + product(v, e[0]);
        let mut e_sum = product(q, d[0]) + product(r, e[0]);
        d_times = d_times.wrapping_sub(self.clearing(d_sum, d_times));
        e_times = e_times.wrapping_sub(self.clearing(e_sum, e_times));
        d_sum += product(self.limbs[0], d_times);
        e_sum += product(self.limbs[0], e_times);
        d_sum >>= 62;
        e_sum >>= 62;
        for at in 1..5 {
            d_sum += product(u, d[at]) + product(v, e[at]) + product(self.limbs[at], d_times);
            e_sum += product(q, d[at]) + product(r, e[at]) + product(self.limbs[at], e_times);
            d[at - 1] = low_62(d_sum);
            e[at - 1] = low_62(e_sum);
            d_sum >>= 62;
            e_sum >>= 62;
        }
        d[4] = low_64(d_sum);
        e[4] = low_64(e_sum);
    }

    /// What must be taken from `times` so that `sum + times · m` is divisible by 2⁶².
    fn clearing(&self, sum: i128, times: i64) -> i64 {
        let product = self.inverse.wrapping_mul(low_64(sum).cast_unsigned());
        (product.wrapping_add(times.cast_unsigned()) & LOW_62).cast_signed()
    }

    /// `number`, which is between −2m and m, with the other sign where `negate` says so, between 0 and m.
    fn normalized(&self, mut number: Signed62, negate: bool) -> [u64; 4] {
        if number[4] < 0 {
            self.add_to(&mut number);
        }
        if negate {
            number.iter_mut().for_each(|limb| *limb = limb.wrapping_neg());
            carry(&mut number);
        }
        if number[4] < 0 {
            self.add_to(&mut number);
        }
        from_signed62(number)
    }

    fn add_to(&self, number: &mut Signed62) {
        for (limb, m) in number.iter_mut().zip(self.limbs) {
            *limb = limb.wrapping_add(m);
        }
        carry(number);
    }
}

/// 62 division steps on the lowest bits of f and g. `eta` is the paper's −δ.
fn divide_62(eta: &mut i64, f: i64, g: i64) -> Steps {
    let (mut u, mut v, mut q, mut r) = (1_u64, 0_u64, 0_u64, 1_u64);
    let (mut f, mut g) = (f.cast_unsigned(), g.cast_unsigned());
    let mut left = 62_u32;
    loop {
        // Steps in which g is even only halve it.
        let zeros = (g | (u64::MAX << left)).trailing_zeros();
        g >>= zeros;
        u <<= zeros;
        v <<= zeros;
        *eta -= i64::from(zeros);
        left -= zeros;
        if left == 0 {
            break;
        }
        let swap = *eta < 0;
        if swap {
            *eta = -*eta;
            (f, g) = (g, f.wrapping_neg());
            (u, q) = (q, u.wrapping_neg());
            (v, r) = (r, v.wrapping_neg());
        }
        // As many low bits of g can be cleared at once as there are steps before the next swap.
        let limit = u32::try_from(*eta + 1).unwrap_or(u32::MAX).min(left);
        let mask = (u64::MAX >> (64 - limit)) & if swap { 63 } else { 15 };
        let w = if swap {
            f.wrapping_mul(g).wrapping_mul(f.wrapping_mul(f).wrapping_sub(2)) & mask
        } else {
            let inverse = f.wrapping_add((f.wrapping_add(1) & 4) << 1);
            inverse.wrapping_neg().wrapping_mul(g) & mask
        };
        g = g.wrapping_add(f.wrapping_mul(w));
        q = q.wrapping_add(u.wrapping_mul(w));
        r = r.wrapping_add(v.wrapping_mul(w));
    }
    Steps { u: u.cast_signed(), v: v.cast_signed(), q: q.cast_signed(), r: r.cast_signed() }
}

/// (f, g) becomes ((uf + vg) / 2⁶², (qf + rg) / 2⁶²); both are whole.
fn update_fg(f: &mut Signed62, g: &mut Signed62, steps: &Steps) {
    let Steps { u, v, q, r } = *steps;
    let mut f_sum = (product(u, f[0]) + product(v, g[0])) >> 62;
    let mut g_sum = (product(q, f[0]) + product(r, g[0])) >> 62;
    for at in 1..5 {
        f_sum += product(u, f[at]) + product(v, g[at]);
        g_sum += product(q, f[at]) + product(r, g[at]);
        f[at - 1] = low_62(f_sum);
        g[at - 1] = low_62(g_sum);
        f_sum >>= 62;
        g_sum >>= 62;
    }
    f[4] = low_64(f_sum);
    g[4] = low_64(g_sum);
}

/// Each limb but the last between 0 and 2⁶².
fn carry(number: &mut Signed62) {
    for at in 0..4 {
        number[at + 1] = number[at + 1].wrapping_add(number[at] >> 62);
        number[at] &= LOW_62.cast_signed();
    }
}

#[inline]
fn product(a: i64, b: i64) -> i128 {
    i128::from(a) * i128::from(b)
}

#[inline]
#[expect(clippy::as_conversions, reason = "the low half is what is asked for")]
const fn low_64(number: i128) -> i64 {
    number as i64
}

#[inline]
const fn low_62(number: i128) -> i64 {
    low_64(number) & LOW_62.cast_signed()
}

const fn to_signed62([a, b, c, d]: [u64; 4]) -> Signed62 {
    let limbs = [a, a >> 62 | b << 2, b >> 60 | c << 4, c >> 58 | d << 6, d >> 56];
    let [a, b, c, d, e] = limbs;
    [
        (a & LOW_62).cast_signed(),
        (b & LOW_62).cast_signed(),
        (c & LOW_62).cast_signed(),
        (d & LOW_62).cast_signed(),
        e.cast_signed(),
    ]
}

fn from_signed62(number: Signed62) -> [u64; 4] {
    let [a, b, c, d, e] = number.map(i64::cast_unsigned);
    [a | b << 62, b >> 2 | c << 60, c >> 4 | d << 58, d >> 6 | e << 56]
}

#[cfg(test)]
pub(crate) mod tests {
    /// Small ones, those beside m and beside powers of two, and a thousand that look random.
    pub(crate) fn numbers(m: &[u64; 4]) -> Vec<[u64; 4]> {
        let mut numbers = Vec::new();
        for small in 0..20 {
            numbers.push([small, 0, 0, 0]);
            numbers.push([m[0].wrapping_sub(small), m[1], m[2], m[3]]);
        }
        for bit in 0..256 {
            let mut power = [0; 4];
            power[bit / 64] = 1 << (bit % 64);
            numbers.push(power);
            for limb in &mut power[..bit / 64] {
                *limb = u64::MAX;
            }
            numbers.push(power);
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        numbers.extend((0..1000).map(|_| [next(), next(), next(), next()]));
        numbers.retain(|number| crate::field::is_below(number, m));
        assert!(numbers.len() > 1000);
        numbers
    }
}

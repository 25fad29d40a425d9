//! Times as MSG91 writes them: India time, with and without its offset.

const OFFSET_SECONDS: u64 = 5 * 3600 + 1800;

struct Parts {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

/// Year, month and day from days since 1970, by eras of 400 years that begin in March.
const fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let carry = if month <= 2 { 1 } else { 0 };
    (year + era * 400 + carry, month, day)
}

const fn parts(seconds: u64) -> Parts {
    let local = seconds + OFFSET_SECONDS;
    let (year, month, day) = date(local / 86_400);
    let rest = local % 86_400;
    Parts {
        year,
        month,
        day,
        hour: rest / 3600,
        minute: rest % 3600 / 60,
        second: rest % 60,
    }
}

/// `2026-11-21T13:30:00+05:30`, from seconds since 1970.
pub(crate) fn iso(seconds: u64) -> String {
    let p = parts(seconds);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}+05:30",
        p.year, p.month, p.day, p.hour, p.minute, p.second
    )
}

/// `2026-11-21 13:30:00`, as in reports.
pub(crate) fn plain(seconds: u64) -> String {
    let p = parts(seconds);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        p.year, p.month, p.day, p.hour, p.minute, p.second
    )
}

/// Days since 1970 of a date `YYYY-MM-DD`.
pub(crate) fn day(text: &str) -> Option<u64> {
    let mut words = text.split('-');
    let (year, month, day) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (year, month, day): (u64, u64, u64) =
        (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    if !(1970..=9999).contains(&year) {
        return None;
    }
    // The first of January lies within these bounds; the month is searched from there, which needs no second formula.
    let guess = (year - 1970) * 365;
    (guess..guess + 365 + 2500).find(|days| date(*days) == (year, month, day))
}

/// The India day on which a moment lies.
pub(crate) const fn day_of(seconds: u64) -> u64 {
    (seconds + OFFSET_SECONDS) / 86_400
}

#[cfg(test)]
mod tests {
    use super::{day, day_of, iso, plain};

    #[test]
    fn writes_india_time() {
        assert_eq!(iso(1_795_248_000), "2026-11-21T13:30:00+05:30");
        assert_eq!(plain(1_795_248_001), "2026-11-21 13:30:01");
        assert_eq!(iso(0), "1970-01-01T05:30:00+05:30");
        assert_eq!(iso(1_709_145_000), "2024-02-29T00:00:00+05:30");
    }

    #[test]
    fn reads_days() {
        assert_eq!(day("1970-01-01"), Some(0));
        assert_eq!(day("2026-11-21"), Some(day_of(1_795_248_000)));
        assert_eq!(day("2024-02-29"), Some(day_of(1_709_145_000)));
        assert_eq!(day("9999-12-31"), Some(2_932_896));
        for bad in ["2025-02-29", "2026-13-01", "2026-1-1", "x", "2026-11-21-1"] {
            assert_eq!(day(bad), None, "{bad}");
        }
    }
}

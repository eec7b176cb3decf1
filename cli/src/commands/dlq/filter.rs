//! Which dead letters are meant.

use std::time::{SystemTime, UNIX_EPOCH};

use ksem::Record;
use ksem::dead_letter as headers;

use super::letter::Letter;

/// Options that choose dead letters. All that are given have to hold.
#[derive(clap::Args)]
#[command(next_help_heading = "Which ones")]
pub(super) struct Filter {
    /// Those that came from this topic
    #[arg(long, value_name = "TOPIC")]
    from: Option<String>,
    /// Those of this error, such as handler_failed, record_rejected or record_invalid
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    /// Those that failed last at this time or later: 90s, 15m, 2h, 7d ago, or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Those that failed last before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
    /// Those with this key
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// End after N of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
}

impl Filter {
    /// Whether a dead letter is meant.
    pub(super) fn matches(&self, record: &Record<'_>, letter: &Letter<'_>) -> bool {
        let last = letter.number(headers::LAST_FAILURE).unwrap_or(0);
        self.from.as_deref().is_none_or(|topic| letter.topic() == topic)
            && self.error.as_deref().is_none_or(|code| letter.text(headers::ERROR_CODE) == Some(code))
            && self.since.is_none_or(|since| last >= since)
            && self.until.is_none_or(|until| last < until)
            && self.key.as_deref().is_none_or(|key| record.key == Some(key.as_bytes()))
    }
}

/// Milliseconds since 1970, or so long ago.
fn time(text: &str) -> Result<i64, String> {
    const FORM: &str = "a time is 90s, 15m, 2h or 7d ago, or milliseconds since 1970";
    let unit = match text.chars().last() {
        Some('s') => 1_000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => return text.parse().map_err(|_| FORM.into()),
    };
    let count: i64 = text[..text.len() - 1].parse().map_err(|_| FORM)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64);
    count.checked_mul(unit).map(|ago| now - ago).ok_or_else(|| FORM.into())
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_ago_or_since_1970() {
        assert_eq!(time("1700000000000"), Ok(1_700_000_000_000));
        let (hour, minutes) = (time("1h").expect("an hour"), time("60m").expect("60 minutes"));
        assert!((hour - minutes).abs() < 1_000);
        assert!(time("2d").expect("days") < hour);
        for wrong in ["", "h", "1w", "x", "9999999999999999d", "1.5h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}

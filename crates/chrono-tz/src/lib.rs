//! The time zones that rules may name (`now.getHours("Europe/Berlin")`), in the form in which `cel` wants them.
//!
//! `cel` takes zones from the crate `chrono-tz`, which keeps every change of every zone as a Rust constant: 45 000 places
//! that the loader puts right at each start, and 2.4 MB of memory whether a rule looks at a zone or not. This crate has its
//! name and as much of its interface as `cel` uses, and takes the zones from `jiff`, where they are plain bytes that are
//! read when a zone is first named. They are part of the program, so that a rule decides alike on every machine.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use chrono::{
    FixedOffset, LocalResult, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone,
};
use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZoneDatabase};

/// The zones of the IANA time zone database.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Coordinated universal time.
pub const UTC: Tz = Tz(jiff::tz::TimeZone::UTC);

/// A zone of the IANA time zone database, by its name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tz(jiff::tz::TimeZone);

/// No zone has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time zone has this name")]
pub struct ParseError;

impl FromStr for Tz {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        ZONES.get(name).map(Self).map_err(|_| ParseError)
    }
}

/// How far a zone is from universal time at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TzOffset {
    zone: Tz,
    fixed: FixedOffset,
}

impl Offset for TzOffset {
    fn fix(&self) -> FixedOffset {
        self.fixed
    }
}

impl fmt::Display for TzOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fixed.fmt(f)
    }
}

impl Tz {
    fn offset(&self, offset: jiff::tz::Offset) -> TzOffset {
        // Both count seconds, and the zones of the database stay within 16 hours.
        let fixed = FixedOffset::east_opt(offset.seconds()).unwrap_or_else(|| Offset::fix(&chrono::Utc));
        let zone = self.clone();
        TzOffset { zone, fixed }
    }
}

impl TimeZone for Tz {
    type Offset = TzOffset;

    fn from_offset(offset: &TzOffset) -> Self {
        offset.zone.clone()
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<TzOffset> {
        self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<TzOffset> {
        // A clock without a zone reads as universal time does when it shows the same.
        let shown = jiff::Timestamp::from_second(local.and_utc().timestamp())
            .map(|moment| jiff::tz::Offset::UTC.to_datetime(moment));
        match shown {
            Ok(shown) => self.local(shown),
            Err(_) => LocalResult::None,
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> TzOffset {
        self.offset_from_utc_datetime(&utc.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> TzOffset {
        let seconds = utc.and_utc().timestamp();
        let moment = jiff::Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        self.offset(self.0.to_offset(moment))
    }
}

impl Tz {
    fn local(&self, shown: civil::DateTime) -> MappedLocalTime<TzOffset> {
        match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => LocalResult::Single(self.offset(offset)),
            AmbiguousOffset::Gap { .. } => LocalResult::None,
            AmbiguousOffset::Fold { before, after } => {
                LocalResult::Ambiguous(self.offset(before), self.offset(after))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Timelike as _, Utc};

    use super::*;

    fn at(utc: &str, zone: &str) -> String {
        let utc: DateTime<Utc> = utc.parse().expect("a time");
        let zone: Tz = zone.parse().expect("a zone");
        format!("{:?}", utc.with_timezone(&zone).fixed_offset())
    }

    #[test]
    fn a_moment_is_shown_as_clocks_show_it_there() {
        for (utc, zone, local) in [
            (
                "2026-01-05T09:30:00Z",
                "Europe/Berlin",
                "2026-01-05T10:30:00+01:00",
            ),
            (
                "2026-07-06T09:30:00Z",
                "Europe/Berlin",
                "2026-07-06T11:30:00+02:00",
            ),
            (
                "2026-03-29T00:59:59Z",
                "Europe/Berlin",
                "2026-03-29T01:59:59+01:00",
            ),
            (
                "2026-03-29T01:00:00Z",
                "Europe/Berlin",
                "2026-03-29T03:00:00+02:00",
            ),
            (
                "2026-07-06T23:00:00Z",
                "Asia/Kathmandu",
                "2026-07-07T04:45:00+05:45",
            ),
            (
                "2026-07-06T03:00:00Z",
                "America/St_Johns",
                "2026-07-06T00:30:00-02:30",
            ),
            ("2090-07-06T12:00:00Z", "US/Eastern", "2090-07-06T08:00:00-04:00"),
            ("2026-07-06T12:00:00Z", "Etc/GMT+5", "2026-07-06T07:00:00-05:00"),
            ("1970-01-01T00:00:00Z", "UTC", "1970-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(at(utc, zone), local, "{utc} in {zone}");
        }
    }

    #[test]
    fn what_a_clock_shows_twice_or_never_is_told() {
        let berlin: Tz = "Europe/Berlin".parse().expect("a zone");
        let shown = |text: &str| text.parse::<NaiveDateTime>().expect("a time of day");
        let hours = |text: &str| {
            let moments = berlin.from_local_datetime(&shown(text));
            [moments.clone().earliest(), moments.latest()].map(|moment| moment.map(|m| m.to_utc().hour()))
        };
        assert_eq!(hours("2026-01-05T10:30:00"), [Some(9), Some(9)]);
        assert_eq!(
            hours("2026-03-29T02:30:00"),
            [None, None],
            "the clock is put forward"
        );
        assert_eq!(
            hours("2026-10-25T02:30:00"),
            [Some(0), Some(1)],
            "the clock is put back"
        );
    }

    #[test]
    fn what_names_no_zone_is_refused() {
        for name in ["", "Mars/Phobos", "../../etc/passwd", "Europe/Berlin ", "+01"] {
            assert_eq!(name.parse::<Tz>(), Err(ParseError), "{name}");
        }
        assert_eq!(
            UTC.offset_from_utc_datetime(&NaiveDateTime::default())
                .fix()
                .local_minus_utc(),
            0
        );
    }

    /// The edges of what both libraries can tell.
    #[test]
    fn there_is_an_answer_at_every_moment() {
        let berlin: Tz = "Europe/Berlin".parse().expect("a zone");
        for utc in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            let offset = berlin.offset_from_utc_datetime(&utc.naive_utc()).fix();
            assert!(offset.local_minus_utc() > 0, "{utc}");
        }
    }
}

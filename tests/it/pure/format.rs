//! Figures and times as people read them: what is written reads back to the same value.

use chrono::{DateTime, NaiveDate, TimeZone};
use chrono_tz::Tz;
use painel_api::web::{
    format::{Format, cnpj},
    texts::Language,
};
use proptest::prelude::*;

const PT: Format = Format { language: Language::Portuguese, zone: Tz::America__Sao_Paulo };
const EN: Format = Format { language: Language::English, zone: Tz::UTC };

#[test]
fn each_language_has_its_own_marks() {
    assert_eq!((PT.count(1_234_567), EN.count(1_234_567)), ("1.234.567".to_owned(), "1,234,567".to_owned()));
    assert_eq!(
        (PT.count(-1_000), PT.count(999), PT.count(0)),
        ("-1.000".to_owned(), "999".to_owned(), "0".to_owned())
    );
    assert_eq!(PT.money(123_450), "R$\u{a0}1.234,50");
    assert_eq!(EN.money(-5), "-R$\u{a0}0.05");
    assert_eq!((PT.percent(97.5), EN.percent(97.5)), ("97,5\u{a0}%".to_owned(), "97.5%".to_owned()));
    assert_eq!((PT.change(12.36), EN.change(-3.0)), ("+12,4\u{a0}%".to_owned(), "-3%".to_owned()));
    assert_eq!((PT.points(-0.44), EN.points(0.04)), ("-0,4\u{a0}p.p.".to_owned(), "0\u{a0}pp".to_owned()));
    assert_eq!(
        (PT.percent(100.0), PT.percent(99.99), PT.percent(0.0)),
        ("100\u{a0}%".into(), "99,9\u{a0}%".into(), "0\u{a0}%".into())
    );
    assert_eq!((PT.short(1_234_567.0), EN.short(1_234_567.0)), ("1,2\u{a0}mi".to_owned(), "1.2M".to_owned()));
    assert_eq!((PT.short(950.0), PT.short(12_000.0)), ("950".to_owned(), "12\u{a0}mil".to_owned()));
    assert_eq!(PT.decimal(-0.001, 2), "0,00");
}

#[test]
fn durations_have_the_unit_that_fits() {
    let cases = [
        (0.0, "0\u{a0}ms"),
        (120.4, "120\u{a0}ms"),
        (999.4, "999\u{a0}ms"),
        (999.6, "1,0\u{a0}s"),
        (3_400.0, "3,4\u{a0}s"),
        (59_949.0, "59,9\u{a0}s"),
        (59_960.0, "1\u{a0}min 0\u{a0}s"),
        (125_000.0, "2\u{a0}min 5\u{a0}s"),
        (3_600_000.0, "1\u{a0}h 0\u{a0}min"),
        (11_520_000.0, "3\u{a0}h 12\u{a0}min"),
    ];
    for (millis, text) in cases {
        assert_eq!(PT.duration(millis), text, "{millis}");
    }
}

#[test]
fn a_cnpj_is_written_as_people_write_it_with_letters_too() {
    assert_eq!(cnpj("12345678000195"), "12.345.678/0001-95");
    assert_eq!(cnpj("12ABC34501DE35"), "12.ABC.345/01DE-35");
    assert_eq!(cnpj("short"), "short");
}

fn digits(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_and_money_read_back(number in any::<i64>()) {
        for format in [PT, EN] {
            prop_assert_eq!(digits(&format.count(number)).parse::<i64>().unwrap(), number);
            prop_assert_eq!(digits(&format.money(number)).parse::<i64>().unwrap(), number);
        }
    }

    #[test]
    fn decimals_read_back(cents in -1_000_000_000_i32..1_000_000_000) {
        let value = f64::from(cents) / 100.0;
        for format in [PT, EN] {
            prop_assert_eq!(digits(&format.decimal(value, 2)).parse::<i32>().unwrap(), cents);
        }
    }

    #[test]
    fn days_and_times_read_back(seconds in 0_i64..4_102_444_800) {
        let at = DateTime::from_timestamp(seconds, 0).unwrap();
        for (format, pattern) in [(PT, "%d/%m/%Y %H:%M:%S"), (EN, "%Y-%m-%d %H:%M:%S")] {
            let read = chrono::NaiveDateTime::parse_from_str(&format.exact_time(at), pattern).unwrap();
            // An hour that stands twice, when summer ends, reads back to one of the two.
            let instants = format.zone.from_local_datetime(&read);
            prop_assert!([instants.earliest(), instants.latest()].into_iter().flatten().any(|one| one == at));
            prop_assert!(format.exact_time(at).starts_with(&format.time(at)) && format.time(at).ends_with(&format.clock(at)));
        }
        let day: NaiveDate = at.date_naive();
        prop_assert_eq!(NaiveDate::parse_from_str(&PT.day(day), "%d/%m/%Y").unwrap(), day);
        prop_assert_eq!(NaiveDate::parse_from_str(&EN.day(day), "%Y-%m-%d").unwrap(), day);
    }
}

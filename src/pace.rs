//! How often one may try a password or have a mail sent: by account and by address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Config;

/// Failures are forgotten when none came for so long; mails are counted by such spans.
const MEMORY: Duration = Duration::from_secs(3600);
/// Accounts and addresses that are remembered; beyond them the one that was quiet for longest is forgotten.
const REMEMBERED_MAX: usize = 65_536;
/// Failures of one address with any accounts, and of one account from any addresses, before they are slowed.
const ADDRESS_FAILURES: u32 = 30;
const ACCOUNT_FAILURES: u32 = 50;
/// The longest wait; for an account from any address a short one, since strangers could keep its owner out.
const WAIT_S_MAX: u64 = 900;
const ACCOUNT_WAIT_S_MAX: u64 = 30;
/// Mails in an hour, so that the outbox keeps each for as long as its link is good.
const MAILS_MAX: u32 = 5000;

/// What was tried lately.
#[derive(Debug, Default)]
pub struct Pace {
    failures: Mutex<HashMap<Tried, Count>>,
    mails: Mutex<HashMap<Mailed, Count>>,
}

/// Something was tried too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooOften {
    /// Passwords.
    Tries {
        /// When to try again.
        retry_after_s: u64,
    },
    /// Mails.
    Mails {
        /// When to ask again.
        retry_after_s: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Tried {
    AccountFrom(String, IpAddr),
    Account(String),
    Address(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Mailed {
    Account(String),
    Address(IpAddr),
    All,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    number: u32,
    last: Instant,
    /// When it began, for what is counted by the hour.
    first: Instant,
}

/// How long to wait after so many failures.
fn wait(failures: u32, free: u32, max_s: u64) -> Duration {
    match failures.checked_sub(free) {
        None => Duration::ZERO,
        Some(beyond) => Duration::from_secs(1u64.checked_shl(beyond).unwrap_or(max_s).min(max_s)),
    }
}

impl Pace {
    /// Lets a password be tried, or says when. Call [`Pace::failed`] or [`Pace::fitted`] afterwards.
    pub(crate) fn may_try(&self, config: &Config, account: &str, from: IpAddr) -> Result<(), TooOften> {
        self.may_try_at(config, account, from, Instant::now())
    }

    fn may_try_at(&self, config: &Config, account: &str, from: IpAddr, now: Instant) -> Result<(), TooOften> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = limits(config, account, from);
        let left = kinds.iter().filter_map(|(key, free, max_s)| {
            let count = failures.get(key).filter(|count| now.duration_since(count.last) < MEMORY)?;
            (count.last + wait(count.number, *free, *max_s)).checked_duration_since(now)
        });
        if let Some(left) = left.max().filter(|left| !left.is_zero()) {
            let seconds = left.as_millis().div_ceil(1000);
            return Err(TooOften::Tries { retry_after_s: u64::try_from(seconds).unwrap_or(WAIT_S_MAX) });
        }
        // Who is slowed already tries once at a time.
        for (key, free, _) in kinds {
            if failures.get(&key).is_some_and(|count| count.number >= free) {
                add(&mut failures, key, now);
            }
        }
        Ok(())
    }

    /// Notes that a password did not fit.
    pub(crate) fn failed(&self, config: &Config, account: &str, from: IpAddr) {
        self.failed_at(config, account, from, Instant::now());
    }

    fn failed_at(&self, config: &Config, account: &str, from: IpAddr, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, free, _) in limits(config, account, from) {
            // Beyond the free ones it was noted when it began.
            if failures.get(&key).is_none_or(|count| count.number < free) {
                add(&mut failures, key, now);
            }
        }
    }

    /// Notes that a password did fit: who knows it has not guessed.
    pub(crate) fn fitted(&self, account: &str, from: IpAddr) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&Tried::AccountFrom(account.into(), from));
        failures.remove(&Tried::Account(account.into()));
    }

    /// Forgets what was counted of an account, by its address, number or id.
    pub(crate) fn forget(&self, account: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|tried, _| match tried {
            Tried::AccountFrom(of, _) | Tried::Account(of) => of != account,
            Tried::Address(_) => true,
        });
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.remove(&Mailed::Account(account.into()));
    }

    /// Lets a mail to an address of an account be written, whether or not there is such an account.
    pub(crate) fn may_mail(&self, config: &Config, account: &str, from: IpAddr) -> Result<(), TooOften> {
        self.may_mail_at(config, account, from, Instant::now())
    }

    fn may_mail_at(
        &self,
        config: &Config,
        account: &str,
        from: IpAddr,
        now: Instant,
    ) -> Result<(), TooOften> {
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kinds = vec![(Mailed::Account(account.into()), config.mails_per_account_max)];
        if !from.is_loopback() {
            kinds.push((Mailed::Address(from), config.mails_per_address_max));
        }
        kinds.push((Mailed::All, MAILS_MAX));
        for (key, max) in &kinds {
            let Some(count) = mails.get(key).copied() else { continue };
            let left = MEMORY.saturating_sub(now.duration_since(count.first));
            if left.is_zero() {
                mails.remove(key);
            } else if count.number >= *max {
                return Err(TooOften::Mails { retry_after_s: left.as_secs().max(1) });
            }
        }
        for (key, _) in kinds {
            add(&mut mails, key, now);
        }
        Ok(())
    }
}

/// What is counted of a try, how many failures are free, and the longest wait in seconds.
fn limits(config: &Config, account: &str, from: IpAddr) -> Vec<(Tried, u32, u64)> {
    let mut limits = vec![
        (Tried::AccountFrom(account.into(), from), config.sign_in_failures_max, WAIT_S_MAX),
        (Tried::Account(account.into()), ACCOUNT_FAILURES, ACCOUNT_WAIT_S_MAX),
    ];
    // Behind a proxy on this machine that is not named as trusted, everybody comes from here.
    if !from.is_loopback() {
        limits.push((Tried::Address(from), ADDRESS_FAILURES, WAIT_S_MAX));
    }
    limits
}

fn add<K: Hash + Eq + Clone>(counts: &mut HashMap<K, Count>, key: K, now: Instant) {
    if counts.len() >= REMEMBERED_MAX && !counts.contains_key(&key) {
        counts.retain(|_, count| now.duration_since(count.last) < MEMORY);
        let oldest = counts.iter().min_by_key(|(_, count)| count.last).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest.filter(|_| counts.len() >= REMEMBERED_MAX) {
            counts.remove(&oldest);
        }
    }
    let count = counts.entry(key).or_insert(Count { number: 0, last: now, first: now });
    if now.duration_since(count.last) >= MEMORY {
        *count = Count { number: 0, last: now, first: now };
    }
    count.number = count.number.saturating_add(1);
    count.last = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(refused: Result<(), TooOften>) -> u64 {
        match refused {
            Ok(()) => 0,
            Err(TooOften::Tries { retry_after_s } | TooOften::Mails { retry_after_s }) => retry_after_s,
        }
    }

    #[test]
    fn guesses_at_an_account_are_slowed_more_and_more() {
        let (pace, config) = (Pace::default(), Config::default());
        let (here, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..config.sign_in_failures_max + 4 {
            let left = seconds(pace.may_try_at(&config, "ada", here, now));
            if left > 0 {
                now += Duration::from_secs(left);
                pace.may_try_at(&config, "ada", here, now).expect("its time has come");
            }
            pace.failed_at(&config, "ada", here, now);
            waits.push(left);
        }
        assert_eq!(waits[config.sign_in_failures_max as usize..], [1, 2, 4, 8]);
        // Two at once count as two: the second one waits for the first.
        now += Duration::from_secs(60);
        assert_eq!(seconds(pace.may_try_at(&config, "ada", here, now)), 0);
        assert!(seconds(pace.may_try_at(&config, "ada", here, now)) > 0);
        // Its owner elsewhere and other accounts are let in.
        assert_eq!(seconds(pace.may_try_at(&config, "ada", other, now)), 0);
        assert_eq!(seconds(pace.may_try_at(&config, "bob", here, now)), 0);
        pace.fitted("ada", here);
        assert_eq!(seconds(pace.may_try_at(&config, "ada", here, now)), 0);
    }

    #[test]
    fn one_address_is_slowed_whatever_accounts_it_tries() {
        let (pace, config, now) = (Pace::default(), Config::default(), Instant::now());
        let (far, here) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([127, 0, 0, 1]));
        for number in 0..ADDRESS_FAILURES + 1 {
            for from in [far, here] {
                pace.failed_at(&config, &format!("{number}"), from, now);
            }
        }
        assert!(seconds(pace.may_try_at(&config, "new", far, now)) > 0);
        assert_eq!(seconds(pace.may_try_at(&config, "new", here, now)), 0);
        assert_eq!(seconds(pace.may_try_at(&config, "new", far, now + MEMORY)), 0);
    }

    #[test]
    fn mails_are_counted_by_account_by_address_and_in_all() {
        let (pace, config, now) = (Pace::default(), Config::default(), Instant::now());
        let (far, here) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([127, 0, 0, 1]));
        let sent = |account: &str, from| pace.may_mail_at(&config, account, from, now).is_ok();
        assert_eq!((0..100).filter(|_| sent("ada", here)).count(), config.mails_per_account_max as usize);
        let others = (0..1000).filter(|number| sent(&format!("{number}"), far)).count();
        assert_eq!(others, config.mails_per_address_max as usize);
        let all = (0..10_000).filter(|number| sent(&format!("x{number}"), here)).count();
        assert_eq!(all + others + config.mails_per_account_max as usize, MAILS_MAX as usize);
        assert!(pace.may_mail_at(&config, "ada", here, now + MEMORY).is_ok());
        pace.forget("bob");
        pace.failed_at(&config, "ada", here, now);
        pace.forget("ada");
        let count = |counts: &Mutex<HashMap<Mailed, Count>>| {
            counts.lock().expect("no panic").contains_key(&Mailed::Account("ada".into()))
        };
        assert!(!count(&pace.mails));
        assert_eq!(pace.failures.lock().expect("no panic").len(), 0);
    }

    #[test]
    fn memory_stays_bounded() {
        let (pace, config, now) = (Pace::default(), Config::default(), Instant::now());
        for number in 0..REMEMBERED_MAX / 2 + 100 {
            pace.failed_at(&config, &number.to_string(), IpAddr::from([127, 0, 0, 1]), now);
        }
        assert!(pace.failures.lock().expect("no panic").len() <= REMEMBERED_MAX);
    }
}

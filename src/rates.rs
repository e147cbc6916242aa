//! How many requests one address and one account may make. What each of them may hold is in [`crate::budgets`].

use std::net::IpAddr;

use actors::events::pace::Paces;
use store::shares::Owner;

use crate::config::Config;

/// So many seconds' worth of requests may come at once: a page with all its pictures.
const AT_ONCE_S: f64 = 10.0;
/// Addresses and accounts that are remembered; those that rest are forgotten first.
const REMEMBERED_MAX: usize = 65_536;

/// How many requests may still come, by address and by account.
#[derive(Debug)]
pub struct Rates {
    addresses: Option<Paces>,
    accounts: Option<Paces>,
}

impl Rates {
    /// By configuration.
    pub fn new(config: &Config) -> Rates {
        let paces = |per_s: u32| {
            let per_s = f64::from(per_s);
            (per_s > 0.0).then(|| Paces::new(per_s, per_s * AT_ONCE_S, REMEMBERED_MAX))
        };
        Rates {
            addresses: paces(config.requests_per_address_s_max),
            accounts: paces(config.requests_per_account_s_max),
        }
    }

    /// Whether a request may be answered. Those of the operator's key and of this machine always may.
    pub(crate) fn admits(&self, owner: Owner, from: IpAddr) -> bool {
        if owner == Owner::Service || from.is_loopback() {
            return true;
        }
        let of_account = matches!(owner, Owner::Account(_)).then_some(self.accounts.as_ref()).flatten();
        of_account.is_none_or(|paces| paces.take(owner, 1.0))
            && self.addresses.as_ref().is_none_or(|paces| paces.take(Owner::Address(from), 1.0))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn accounts_and_addresses_have_their_own_and_this_machine_has_no_limit() {
        let config =
            Config { requests_per_address_s_max: 2, requests_per_account_s_max: 1, ..Config::default() };
        let rates = Rates::new(&config);
        let (here, far) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        let account = |number| Owner::Account(Uuid::from_u128(number));
        let admitted = |owner, from| (0..100).filter(|_| rates.admits(owner, from)).count();
        assert_eq!(admitted(account(1), here), 100);
        assert_eq!(admitted(Owner::Service, far), 100);
        assert_eq!(admitted(account(1), far), 10, "what the account may");
        assert_eq!(admitted(Owner::Address(far), far), 10, "what is left of its address");
        assert_eq!(admitted(account(2), far), 0);
        assert_eq!(admitted(account(3), IpAddr::from([10, 0, 0, 2])), 10);
        let none =
            Config { requests_per_address_s_max: 0, requests_per_account_s_max: 0, ..Config::default() };
        assert!((0..10_000).all(|_| Rates::new(&none).admits(account(1), far)));
    }
}

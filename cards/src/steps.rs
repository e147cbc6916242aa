//! What looking for keys may cost, counted in steps: one budget for everything that one message asks for.

/// Steps between two looks at whether anybody still waits for the result.
const LOOK_EVERY: u64 = 1 << 20;

/// Steps that are left.
pub(crate) struct Steps<'c> {
    left: u64,
    until_look: u64,
    cancelled: &'c dyn Fn() -> bool,
    stopped: bool,
}

/// There are no more steps, or the result is no longer waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

impl<'c> Steps<'c> {
    pub(crate) fn new(left: u64, cancelled: &'c dyn Fn() -> bool) -> Steps<'c> {
        Steps { left, until_look: LOOK_EVERY, cancelled, stopped: false }
    }

    /// Spends some.
    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Stopped> {
        if self.stopped || steps > self.left {
            self.stopped = true;
            return Err(Stopped);
        }
        self.left -= steps;
        if self.until_look > steps {
            self.until_look -= steps;
        } else {
            self.until_look = LOOK_EVERY;
            self.stopped = (self.cancelled)();
        }
        if self.stopped { Err(Stopped) } else { Ok(()) }
    }

    /// Lets a part of the work have only so many of them.
    pub(crate) fn part<T>(
        &mut self,
        max: u64,
        work: impl FnOnce(&mut Steps<'c>) -> Result<T, Stopped>,
    ) -> Result<T, Stopped> {
        let given = max.min(self.left);
        let mut part = Steps { left: given, until_look: self.until_look, ..Steps::new(0, self.cancelled) };
        let done = work(&mut part);
        self.left -= given - part.left;
        self.until_look = part.until_look;
        if done.is_err() && (self.cancelled)() {
            self.stopped = true;
        }
        done
    }

    /// Whether there are none left.
    pub(crate) fn exhausted(&self) -> bool {
        self.stopped || self.left == 0
    }
}

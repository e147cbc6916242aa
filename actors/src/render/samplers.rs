//! Samplers and their schedules, as programs list them: apart, where our names have them together.

use diffusion::schedulers::SCHEDULER_NAMES;

/// How the name of a sampler ends whose steps are spaced by Karras.
const KARRAS: &str = " Karras";

/// A sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Its name.
    pub name: &'static str,
    /// Its name in a job where its steps are spaced evenly, if they may be.
    pub plain: Option<&'static str>,
    /// Its name in a job where its steps are spaced by Karras, if they may be.
    pub karras: Option<&'static str>,
}

/// All samplers, by the names that jobs take.
pub fn samplers() -> Vec<Sampler> {
    let mut samplers: Vec<Sampler> = Vec::new();
    for (name, _, _) in SCHEDULER_NAMES {
        let (base, is_karras) = match name.strip_suffix(KARRAS) {
            Some(base) => (base, true),
            None => (name, false),
        };
        let known = samplers.iter().position(|sampler| sampler.name == base);
        let at = known.unwrap_or_else(|| {
            samplers.push(Sampler { name: base, plain: None, karras: None });
            samplers.len() - 1
        });
        match is_karras {
            true => samplers[at].karras = Some(name),
            false => samplers[at].plain = Some(name),
        }
    }
    samplers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_in_one_sampler() {
        let samplers = samplers();
        let find = |name: &str| samplers.iter().find(|sampler| sampler.name == name).copied();
        let euler = find("Euler").expect("Euler");
        assert_eq!((euler.plain, euler.karras), (Some("Euler"), Some("Euler Karras")));
        let sde = find("DPM++ 3M SDE").expect("a sampler that is spaced by Karras alone");
        assert_eq!((sde.plain, sde.karras), (None, Some("DPM++ 3M SDE Karras")));
        assert_eq!(find("DDIM").and_then(|sampler| sampler.karras), None);
        let names: usize = samplers.iter().map(|it| it.plain.iter().count() + it.karras.iter().count()).sum();
        assert_eq!(names, SCHEDULER_NAMES.len());
    }
}

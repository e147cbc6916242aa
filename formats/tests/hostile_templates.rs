//! Chat templates come with models, and anybody may write one: whatever it is, it ends in a text or an error, in bounded
//! memory and without a deep stack.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use formats::chat_template::{ChatTemplate, TemplateMessage};

/// Counts what is in use, and the most of it.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// One test at a time is measured.
static MEASURED: Mutex<()> = Mutex::new(());

// SAFETY: it hands all to the system's allocator, and counts.
#[allow(unsafe_code, reason = "an allocator is one")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a template with two short messages may take: its budget is 13 MiB, and a text is a few times its list.
const MEMORY_MAX: usize = 128 << 20;

fn messages() -> [TemplateMessage<'static>; 2] {
    [TemplateMessage::new("system", "Be kind."), TemplateMessage::new("user", "Hi")]
}

/// What becomes of `source`, and the most memory that was in use for it. On a thread with the stack of a server's.
fn outcome(source: &str) -> (Result<String, String>, usize) {
    let _measured = MEASURED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = IN_USE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let render = || {
        let template = ChatTemplate::new(source, "<s>", "</s>").map_err(|error| error.to_string())?;
        template.render(&messages(), true).map_err(|error| error.to_string())
    };
    let rendered = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, render);
        thread.expect("a thread").join().expect("no panic")
    });
    (rendered, MOST.load(Ordering::Relaxed) - before)
}

#[track_caller]
fn refused(source: &str) -> String {
    let (rendered, most) = outcome(source);
    let is_known = !rendered.as_ref().is_err_and(|reason| reason.contains("bounds:"));
    assert!(is_known, "the engine does not know the filters: {rendered:?}");
    assert!(most < MEMORY_MAX, "{most} bytes for {source:.200}");
    rendered.expect_err(&source.chars().take(200).collect::<String>())
}

/// `step` again and again within a namespace that has a list `l`, then `end`.
fn again(step: &str, end: &str) -> String {
    format!("{{% set ns = namespace(l=[1], s='x') %}}{{% for i in range(60) %}}{step}{{% endfor %}}{end}")
}

/// `step` again and again in a row, then `end`.
fn in_a_row(step: &str, end: &str) -> String {
    format!("{{% set l = [1] %}}{}{end}", step.repeat(60))
}

const SINKS: [&str; 22] = [
    "{{ L ~ '' }}",
    "{{ '' ~ L }}",
    "{{ L ~ L }}",
    "{{ L }}",
    "{% set x %}{{ L }}{% endset %}",
    "{% filter upper %}{{ L }}{% endfilter %}",
    "{{ '%s' | format(L) }}",
    "{{ '%(a)s %(a)s' | format(a=L) }}",
    "{{ L | string | length }}",
    "{{ L | upper }}",
    "{{ L | join(',') }}",
    "{{ [L] | join }}",
    "{{ 'a' | replace('a', L) }}",
    "{{ L | replace('1', '22') }}",
    "{{ L | pprint }}",
    "{{ L | tojson }}",
    "{{ L == L | list }}",
    "{{ 'x' in L }}",
    "{{ L | unique | list | length }}",
    "{{ {L: 1} }}",
    "{{ L in 'text' }}",
    "{{ debug() }}",
];

#[test]
fn lists_that_hold_themselves_again_end_in_errors() {
    for sink in SINKS {
        refused(&again("{% set ns.l = [ns.l, ns.l] %}", &sink.replace('L', "ns.l")));
        refused(&in_a_row("{% set l = [l, l] %}", &sink.replace('L', "l")));
    }
    let steps = [
        "(ns.l, ns.l)",
        "{'a': ns.l, 'b': ns.l}",
        "dict(a=ns.l, b=ns.l)",
        "[ns.l] * 2",
        "[ns.l] + [ns.l]",
        "[ns.l] | list + [ns.l]",
        "[ns.l] | zip([ns.l]) | list",
        "[ns.l, ns.l] | batch(1) | list",
        "[ns.l, ns.l] | slice(1) | list",
        "[ns.l, ns.l] | map('list') | list",
        "[ns.l, ns.l][0:2]",
        "[ns.l, ns.l] | reverse",
        "{'a': ns.l, 'b': ns.l}.items()",
        "{'a': ns.l, 'b': ns.l} | items",
        "[ns.l] | chain([ns.l])",
        "[{'a': ns.l}, {'a': ns.l}] | groupby('a')",
    ];
    for step in steps {
        refused(&again(&format!("{{% set ns.l = {step} %}}"), "{{ ns.l ~ '' }}"));
        let step = step.replace("ns.l", "l");
        refused(&in_a_row(&format!("{{% set l = {step} %}}"), "{{ l ~ '' }}"));
    }
}

#[test]
fn texts_and_repeated_lists_end_in_errors() {
    for source in [
        again("{% set ns.s = ns.s ~ ns.s %}", ""),
        again("{% set ns.s = [ns.s, ns.s] | string %}", ""),
        again("{% set ns.s = [ns.s] ~ [ns.s] %}", ""),
        again("{% set ns.s = '%s%s' | format(ns.s, ns.s) %}", ""),
        "{{ ([0] * 90000000) ~ '' }}".into(),
        "{{ ([0] * 90000000) == ([0] * 90000000) }}".into(),
        "{{ [[[0] * 9000] * 9000] ~ '' }}".into(),
        "{{ ((0,) * 9000000) ~ '' }}".into(),
        "{% set l = ['x' * 9000] * 9000 %}{{ l ~ l }}".into(),
        "{% set l = [range(9000) | list] * 9000 %}{{ l == l | list }}".into(),
    ] {
        refused(&source);
    }
}

#[test]
fn values_that_hold_themselves_are_refused() {
    let start = "{% set ns = namespace(l=[1]) %}";
    for source in [
        "{% set ns.l = ns %}{{ ns }}",
        "{% set ns.l = [ns] %}{{ ns }}",
        "{% set ns.l = {'a': ns} %}{{ ns }}",
        "{% set l = [ns, ns] %}{% set ns.l = 'x' * 1000000 %}{{ l }}",
        "{% set other = namespace(of=ns) %}{{ other }}",
        "{% set ns.l, ns.m = ns, 1 %}{{ ns }}",
    ] {
        let reason = refused(&format!("{start}{source}"));
        assert!(reason.contains("namespace"), "{source}: {reason}");
    }
}

#[test]
fn what_nests_deeply_is_refused() {
    let nested = again("{% set ns.l = [ns.l] %}", "{{ ns.l }}").replace("range(60)", "range(9000)");
    assert!(refused(&nested).contains("nested"), "{nested}");
    let lazy =
        again("{% set ns.l = ns.l | reverse %}", "{{ ns.l | list }}").replace("range(60)", "range(9000)");
    assert_eq!(outcome(&lazy).0.as_deref(), Ok("[1]"));
    let expression = |times: usize, link: &str| format!("{{{{ a{} }}}}", link.repeat(times));
    let links = ["+1", "~1", "|abs", ".b", "[0]", "()", " and 1", " == 1", " is odd", "**1", " if 1 else 2"];
    for link in links {
        refused(&expression(60_000, link));
        // Near the limit of words and marks.
        let _ = outcome(&expression(2000, link));
        let _ = outcome(&expression(500, link));
    }
    for sign in ["not ", "-", "(", "["] {
        refused(&format!("{{{{ {}1 }}}}", sign.repeat(60_000)));
        let _ = outcome(&format!("{{{{ {}1 }}}}", sign.repeat(1900)));
    }
    let statements = [
        ("{% if 1 %}", "{% elif 1 %}", "{% endif %}"),
        ("", "{% if 1 %}", ""),
        ("", "{% for a in [1] %}", ""),
        ("", "{% set a %}", ""),
        ("", "{% filter upper %}", ""),
        ("", "{% macro m() %}", ""),
    ];
    for (start, middle, end) in statements {
        refused(&format!("{start}{}{end}", middle.repeat(10_000)));
        let _ = outcome(&format!("{start}{}{end}", middle.repeat(250)));
    }
}

#[test]
fn ordinary_lists_cost_little() {
    let source = "{% set ns = namespace(seen=[], text='') %}\
        {% for m in messages %}{% set ns.seen = ns.seen + [m.role] %}{% set ns.text = ns.text ~ m.content %}{% endfor %}\
        {% for m in messages if m.role != 'system' %}{{ loop.index }}/{{ messages | length }} {% endfor %}\
        {{ ns.seen }} {{ ns.text }} {{ messages[1:] | map(attribute='role') | join(',') }} {{ (1, 'a') ~ [none] }}\
        {{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ {'a': [1, 2]} | tojson }}";
    let (text, _) = outcome(source);
    let expected = "1/2 ['system', 'user'] Be kind.Hi user (1, 'a')[None]1 {\"a\": [1, 2]}";
    assert_eq!(text.unwrap(), expected);
    let many: Vec<TemplateMessage<'_>> = (0..4000)
        .map(|n| TemplateMessage::new(if n % 2 == 0 { "user" } else { "assistant" }, "Hello there"))
        .collect();
    let template = ChatTemplate::new(source, "", "").unwrap();
    let error = template.render(&many[..400], true).err();
    assert!(error.is_none(), "{error:?}");
    let chatml = ChatTemplate::new(formats::chat_template::CHATML, "", "").unwrap();
    chatml.render(&many, true).unwrap();
}

//! Which parts of a template may make a value large, or the stack deep? Each of them is passed through a filter of
//! [`super::value_bounds`], which no template can name.
//!
//! The engine charges for what its steps made, and a list that holds another counts as one place. A list that holds itself
//! twice, and again, costs next to nothing until it is written as text or compared, which is one step. So lists pay for all
//! that they hold where they are made. Constants are computed while a template is compiled, without any budget: what goes
//! through a filter is no constant.

use minijinja::machinery::{Span, Token, ast, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

use super::value_bounds::{HELD, KEPT, WEIGHED};

/// Longest expression or statement, in words and marks. The parser nests a level for each of some of them.
const TAG_TOKENS_MAX: usize = 2048;
/// `elif` of a template: each is nested within the one before.
const ELIFS_MAX: usize = 256;
/// Deepest nesting of statements and expressions; `1 + 1 + 1` nests twice.
const DEPTH_MAX: usize = 256;
/// Filters that neither compare what they are given nor look into it.
const PLAIN_FILTERS: [&str; 26] = [
    "length",
    "count",
    "first",
    "last",
    "default",
    "d",
    "list",
    "items",
    "reverse",
    "attr",
    "tojson",
    "trim",
    "upper",
    "lower",
    "title",
    "capitalize",
    "replace",
    "join",
    "string",
    "safe",
    "int",
    "float",
    "bool",
    "abs",
    "round",
    "indent",
];

/// The template that `source` is, with bounds where values grow.
pub(super) fn parse_bounded<'s>(
    source: &'s str,
    name: &'s str,
    syntax: &SyntaxConfig,
) -> Result<ast::Stmt<'s>, Error> {
    check_tokens(source, syntax)?;
    let template = parse(source, name, syntax.clone())?;
    Bounder { depth: 0 }.statement(&template)
}

/// Refuses what would nest beyond the parser's stack. Words that are no tokens are the parser's to refuse.
fn check_tokens(source: &str, syntax: &SyntaxConfig) -> Result<(), Error> {
    let (mut tokens, mut elifs, mut is_first) = (0, 0, false);
    for token in tokenize(source, false, syntax.clone()) {
        match token?.0 {
            Token::TemplateData(_) | Token::VariableEnd | Token::BlockEnd => tokens = 0,
            Token::VariableStart => tokens = 0,
            Token::BlockStart => {
                tokens = 0;
                is_first = true;
                continue;
            }
            Token::Ident("elif") if is_first => elifs += 1,
            _ => tokens += 1,
        }
        is_first = false;
        if tokens > TAG_TOKENS_MAX {
            return too_deep(&format!("an expression of more than {TAG_TOKENS_MAX} words and marks"));
        }
        if elifs > ELIFS_MAX {
            return too_deep(&format!("more than {ELIFS_MAX} elif"));
        }
    }
    Ok(())
}

fn too_deep<T>(what: &str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::SyntaxError, what.to_owned()))
}

/// Builds a tree anew, as its nodes cannot be changed.
struct Bounder {
    depth: usize,
}

impl Bounder {
    fn nested<T>(&mut self, build: impl FnOnce(&mut Bounder) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= DEPTH_MAX {
            return too_deep(&format!("nested more than {DEPTH_MAX} times"));
        }
        self.depth += 1;
        let built = build(self);
        self.depth -= 1;
        built
    }

    fn statements<'s>(&mut self, nodes: &[ast::Stmt<'s>]) -> Result<Vec<ast::Stmt<'s>>, Error> {
        nodes.iter().map(|node| self.statement(node)).collect()
    }

    fn expressions<'s>(&mut self, nodes: &[ast::Expr<'s>]) -> Result<Vec<ast::Expr<'s>>, Error> {
        nodes.iter().map(|node| self.expression(node)).collect()
    }

    fn optional<'s>(&mut self, node: Option<&ast::Expr<'s>>) -> Result<Option<ast::Expr<'s>>, Error> {
        node.map(|node| self.expression(node)).transpose()
    }

    fn statement<'s>(&mut self, node: &ast::Stmt<'s>) -> Result<ast::Stmt<'s>, Error> {
        self.nested(|this| this.statement_within(node))
    }

    fn statement_within<'s>(&mut self, node: &ast::Stmt<'s>) -> Result<ast::Stmt<'s>, Error> {
        use ast::Stmt;
        Ok(match node {
            Stmt::Template(template) => Stmt::Template(spanned(
                ast::Template { children: self.statements(&template.children)? },
                template,
            )),
            Stmt::EmitExpr(emit) => {
                // A call that is written at once has forms of its own, and its value is weighed as it is written.
                let expr = match &emit.expr {
                    ast::Expr::Call(call) => ast::Expr::Call(self.call(call)?),
                    expr => self.expression(expr)?,
                };
                Stmt::EmitExpr(spanned(ast::EmitExpr { expr }, emit))
            }
            Stmt::EmitRaw(raw) => Stmt::EmitRaw(spanned(ast::EmitRaw { raw: raw.raw }, raw)),
            Stmt::ForLoop(node) => {
                let built = ast::ForLoop {
                    target: target(&node.target)?,
                    iter: self.expression(&node.iter)?,
                    filter_expr: self.optional(node.filter_expr.as_ref())?,
                    recursive: node.recursive,
                    body: self.statements(&node.body)?,
                    else_body: self.statements(&node.else_body)?,
                };
                Stmt::ForLoop(spanned(built, node))
            }
            Stmt::IfCond(node) => {
                let built = ast::IfCond {
                    expr: self.expression(&node.expr)?,
                    true_body: self.statements(&node.true_body)?,
                    false_body: self.statements(&node.false_body)?,
                };
                Stmt::IfCond(spanned(built, node))
            }
            Stmt::WithBlock(node) => {
                let pairs = node.assignments.iter();
                let pairs = pairs.map(|(name, value)| Ok((target(name)?, self.expression(value)?)));
                let assignments = pairs.collect::<Result<_, Error>>()?;
                Stmt::WithBlock(spanned(
                    ast::WithBlock { assignments, body: self.statements(&node.body)? },
                    node,
                ))
            }
            Stmt::Set(node) => {
                let expr = kept_if(sets_attribute(&node.target), self.expression(&node.expr)?);
                Stmt::Set(spanned(ast::Set { target: target(&node.target)?, expr }, node))
            }
            Stmt::SetBlock(node) => {
                let filter = self.optional(node.filter.as_ref())?;
                let filter = filter.map(|filter| kept_if(sets_attribute(&node.target), filter));
                let body = self.statements(&node.body)?;
                Stmt::SetBlock(spanned(ast::SetBlock { target: target(&node.target)?, filter, body }, node))
            }
            Stmt::AutoEscape(node) => {
                let built = ast::AutoEscape {
                    enabled: self.expression(&node.enabled)?,
                    body: self.statements(&node.body)?,
                };
                Stmt::AutoEscape(spanned(built, node))
            }
            Stmt::FilterBlock(node) => {
                let built = ast::FilterBlock {
                    filter: self.expression(&node.filter)?,
                    filter_span: node.filter_span,
                    body: self.statements(&node.body)?,
                };
                Stmt::FilterBlock(spanned(built, node))
            }
            Stmt::Block(node) => {
                let body = self.statements(&node.body)?;
                Stmt::Block(spanned(ast::Block { name: node.name, required: node.required, body }, node))
            }
            Stmt::Import(_) | Stmt::FromImport(_) | Stmt::Extends(_) | Stmt::Include(_) => {
                let reason = "a chat template is one text, and takes no other in";
                return Err(Error::new(ErrorKind::TemplateNotFound, reason));
            }
            Stmt::Macro(node) => Stmt::Macro(self.macro_of(node)?),
            Stmt::CallBlock(node) => {
                let built = ast::CallBlock {
                    call: self.call(&node.call)?,
                    call_expr_span: node.call_expr_span,
                    macro_decl: self.macro_of(&node.macro_decl)?,
                };
                Stmt::CallBlock(spanned(built, node))
            }
            Stmt::Continue(node) => Stmt::Continue(spanned(ast::Continue, node)),
            Stmt::Break(node) => Stmt::Break(spanned(ast::Break, node)),
            Stmt::Do(node) => Stmt::Do(spanned(ast::Do { call: self.call(&node.call)? }, node)),
        })
    }

    fn macro_of<'s>(
        &mut self,
        node: &ast::Spanned<ast::Macro<'s>>,
    ) -> Result<ast::Spanned<ast::Macro<'s>>, Error> {
        let built = ast::Macro {
            name: node.name,
            args: node.args.iter().map(target).collect::<Result<_, _>>()?,
            defaults: self.expressions(&node.defaults)?,
            body: self.statements(&node.body)?,
        };
        Ok(spanned(built, node))
    }

    fn call<'s>(&mut self, node: &ast::Spanned<ast::Call<'s>>) -> Result<ast::Spanned<ast::Call<'s>>, Error> {
        // What is called stays what it is: methods and blocks are known by their form.
        let expr = self.expression(&node.expr)?;
        Ok(spanned(ast::Call { expr, args: self.arguments(&node.args)? }, node))
    }

    fn arguments<'s>(&mut self, nodes: &[ast::CallArg<'s>]) -> Result<Vec<ast::CallArg<'s>>, Error> {
        use ast::CallArg;
        let argument = |node: &CallArg<'s>| {
            Ok(match node {
                CallArg::Pos(value) => CallArg::Pos(self.weighed(value)?),
                CallArg::Kwarg(name, value) => CallArg::Kwarg(name, self.weighed(value)?),
                CallArg::PosSplat(values) => CallArg::PosSplat(self.weighed(values)?),
                CallArg::KwargSplat(values) => CallArg::KwargSplat(self.weighed(values)?),
            })
        };
        nodes.iter().map(argument).collect()
    }

    /// A value that is about to be compared or looked into.
    fn weighed<'s>(&mut self, node: &ast::Expr<'s>) -> Result<ast::Expr<'s>, Error> {
        let value = self.expression(node)?;
        Ok(match value {
            ast::Expr::Const(_) => value,
            _ => filtered(WEIGHED, value),
        })
    }

    fn expression<'s>(&mut self, node: &ast::Expr<'s>) -> Result<ast::Expr<'s>, Error> {
        self.nested(|this| this.expression_within(node))
    }

    fn expression_within<'s>(&mut self, node: &ast::Expr<'s>) -> Result<ast::Expr<'s>, Error> {
        use ast::Expr;
        Ok(match node {
            Expr::Var(node) => Expr::Var(spanned(ast::Var { id: node.id }, node)),
            Expr::Const(node) => Expr::Const(spanned(ast::Const { value: node.value.clone() }, node)),
            Expr::Slice(node) => {
                let built = ast::Slice {
                    expr: self.expression(&node.expr)?,
                    start: self.optional(node.start.as_ref())?,
                    stop: self.optional(node.stop.as_ref())?,
                    step: self.optional(node.step.as_ref())?,
                };
                filtered(HELD, Expr::Slice(spanned(built, node)))
            }
            Expr::UnaryOp(node) => {
                let op = match &node.op {
                    ast::UnaryOpKind::Not => ast::UnaryOpKind::Not,
                    ast::UnaryOpKind::Neg => ast::UnaryOpKind::Neg,
                };
                Expr::UnaryOp(spanned(ast::UnaryOp { op, expr: self.expression(&node.expr)? }, node))
            }
            Expr::BinOp(node) => self.operation(node)?,
            Expr::Compare(node) => {
                let compared =
                    |op: &ast::CompareOp<'s>| Ok(ast::CompareOp { op: op.op, expr: self.weighed(&op.expr)? });
                let ops = node.ops.iter().map(compared).collect::<Result<_, Error>>()?;
                Expr::Compare(spanned(ast::Compare { expr: self.weighed(&node.expr)?, ops }, node))
            }
            Expr::IfExpr(node) => {
                let built = ast::IfExpr {
                    test_expr: self.expression(&node.test_expr)?,
                    true_expr: self.expression(&node.true_expr)?,
                    false_expr: self.optional(node.false_expr.as_ref())?,
                };
                Expr::IfExpr(spanned(built, node))
            }
            Expr::Filter(node) => {
                let is_plain = PLAIN_FILTERS.contains(&node.name);
                let input = node.expr.as_ref();
                let expr = match is_plain {
                    true => input.map(|value| self.expression(value)),
                    false => input.map(|value| self.weighed(value)),
                };
                let args = self.arguments(&node.args)?;
                let built = ast::Filter { name: node.name, expr: expr.transpose()?, args };
                filtered(HELD, Expr::Filter(spanned(built, node)))
            }
            Expr::Test(node) => {
                // Tests without arguments ask for a kind.
                let expr = match node.args.is_empty() {
                    true => self.expression(&node.expr)?,
                    false => self.weighed(&node.expr)?,
                };
                let args = self.arguments(&node.args)?;
                Expr::Test(spanned(ast::Test { name: node.name, expr, args }, node))
            }
            Expr::GetAttr(node) => Expr::GetAttr(spanned(
                ast::GetAttr { expr: self.expression(&node.expr)?, name: node.name },
                node,
            )),
            Expr::GetItem(node) => {
                let built = ast::GetItem {
                    expr: self.expression(&node.expr)?,
                    subscript_expr: self.weighed(&node.subscript_expr)?,
                };
                Expr::GetItem(spanned(built, node))
            }
            Expr::Call(node) => filtered(HELD, Expr::Call(self.call(node)?)),
            Expr::List(node) => {
                let items = self.expressions(&node.items)?;
                filtered(HELD, Expr::List(spanned(ast::List { items }, node)))
            }
            Expr::Tuple(node) => {
                let items = self.expressions(&node.items)?;
                filtered(HELD, Expr::Tuple(spanned(ast::Tuple { items }, node)))
            }
            Expr::Map(node) => {
                let (keys, values) = (self.expressions(&node.keys)?, self.expressions(&node.values)?);
                filtered(HELD, Expr::Map(spanned(ast::Map { keys, values }, node)))
            }
        })
    }

    fn operation<'s>(&mut self, node: &ast::Spanned<ast::BinOp<'s>>) -> Result<ast::Expr<'s>, Error> {
        use ast::BinOpKind;
        let compares = match node.op {
            BinOpKind::Eq | BinOpKind::Ne | BinOpKind::Lt | BinOpKind::Lte => true,
            BinOpKind::Gt | BinOpKind::Gte | BinOpKind::In | BinOpKind::Concat => true,
            // What is added, or taken away, is text or a number unless it is a list, which is held.
            _ => false,
        };
        let (left, right) = match compares {
            true => (self.weighed(&node.left)?, self.weighed(&node.right)?),
            false => (self.expression(&node.left)?, self.expression(&node.right)?),
        };
        let is_text = [&left, &right].iter().any(|side| matches!(side, ast::Expr::Const(_)));
        let built = ast::Expr::BinOp(spanned(ast::BinOp { op: node.op, left, right }, node));
        Ok(match node.op {
            // Nothing is added to a list but a list, and a list is no constant.
            BinOpKind::Add if is_text => built,
            BinOpKind::Add | BinOpKind::Mul => filtered(HELD, built),
            _ => built,
        })
    }
}

fn spanned<T, U>(node: T, of: &ast::Spanned<U>) -> ast::Spanned<T> {
    ast::Spanned::new(node, of.span())
}

fn filtered<'s>(name: &'static str, value: ast::Expr<'s>) -> ast::Expr<'s> {
    let span: Span = value.span();
    ast::Expr::Filter(ast::Spanned::new(ast::Filter { name, expr: Some(value), args: Vec::new() }, span))
}

fn kept_if<'s>(is_kept: bool, value: ast::Expr<'s>) -> ast::Expr<'s> {
    match is_kept {
        true => filtered(KEPT, value),
        false => value,
    }
}

fn sets_attribute(target: &ast::Expr<'_>) -> bool {
    match target {
        ast::Expr::GetAttr(_) => true,
        ast::Expr::List(list) => list.items.iter().any(sets_attribute),
        _ => false,
    }
}

/// What a value is given to: a name, an attribute of one, or a list of them.
fn target<'s>(node: &ast::Expr<'s>) -> Result<ast::Expr<'s>, Error> {
    use ast::Expr;
    Ok(match node {
        Expr::Var(node) => Expr::Var(spanned(ast::Var { id: node.id }, node)),
        Expr::GetAttr(node) => {
            Expr::GetAttr(spanned(ast::GetAttr { expr: target(&node.expr)?, name: node.name }, node))
        }
        Expr::List(node) => {
            let items = node.items.iter().map(target).collect::<Result<_, _>>()?;
            Expr::List(spanned(ast::List { items }, node))
        }
        _ => return Err(Error::new(ErrorKind::SyntaxError, "only names can be set")),
    })
}

//! The functions of the language: what they are called, and what they take and give.

use super::types::ValueType::{self, Matrix, Scalar, String, Vector};

/// A function's name, arguments and result.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// As it is called.
    pub name: &'static str,
    /// Which one it is.
    pub id: FunctionId,
    /// The types of its arguments; where more are given, the last one repeats.
    pub arguments: &'static [ValueType],
    /// How many of the last arguments may be missing.
    pub optional: usize,
    /// Whether the last argument may come any number of times, or not at all.
    pub variadic: bool,
    /// The type of its result.
    pub returns: ValueType,
}

impl Function {
    /// The function of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    /// All functions, in the order of their names.
    #[must_use]
    pub fn all() -> &'static [Self] {
        FUNCTIONS
    }

    /// The fewest and the most arguments.
    #[must_use]
    pub fn arity(&self) -> (usize, Option<usize>) {
        let most = (!self.variadic).then_some(self.arguments.len());
        (self.arguments.len() - self.optional, most)
    }
}

macro_rules! functions {
    ($($name:literal $id:ident ($($argument:ident),*) $([$optional:literal])? $(variadic $variadic:literal)? -> $returns:ident;)*) => {
        /// Which function.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "named as the language names them")]
        pub enum FunctionId { $($id),* }

        const FUNCTIONS: &[Function] = &[$(Function {
            name: $name,
            id: FunctionId::$id,
            arguments: &[$($argument),*],
            optional: 0 $(+ $optional)?,
            variadic: false $(|| $variadic)?,
            returns: $returns,
        }),*];
    };
}

functions! {
    "abs" Abs (Vector) -> Vector;
    "absent" Absent (Vector) -> Vector;
    "absent_over_time" AbsentOverTime (Matrix) -> Vector;
    "acos" Acos (Vector) -> Vector;
    "acosh" Acosh (Vector) -> Vector;
    "asin" Asin (Vector) -> Vector;
    "asinh" Asinh (Vector) -> Vector;
    "atan" Atan (Vector) -> Vector;
    "atanh" Atanh (Vector) -> Vector;
    "avg_over_time" AvgOverTime (Matrix) -> Vector;
    "ceil" Ceil (Vector) -> Vector;
    "changes" Changes (Matrix) -> Vector;
    "clamp" Clamp (Vector, Scalar, Scalar) -> Vector;
    "clamp_max" ClampMax (Vector, Scalar) -> Vector;
    "clamp_min" ClampMin (Vector, Scalar) -> Vector;
    "cos" Cos (Vector) -> Vector;
    "cosh" Cosh (Vector) -> Vector;
    "count_over_time" CountOverTime (Matrix) -> Vector;
    "day_of_month" DayOfMonth (Vector) [1] -> Vector;
    "day_of_week" DayOfWeek (Vector) [1] -> Vector;
    "day_of_year" DayOfYear (Vector) [1] -> Vector;
    "days_in_month" DaysInMonth (Vector) [1] -> Vector;
    "deg" Deg (Vector) -> Vector;
    "delta" Delta (Matrix) -> Vector;
    "deriv" Deriv (Matrix) -> Vector;
    "exp" Exp (Vector) -> Vector;
    "floor" Floor (Vector) -> Vector;
    "histogram_count" HistogramCount (Vector) -> Vector;
    "histogram_fraction" HistogramFraction (Scalar, Scalar, Vector) -> Vector;
    "histogram_quantile" HistogramQuantile (Scalar, Vector) -> Vector;
    "histogram_sum" HistogramSum (Vector) -> Vector;
    "holt_winters" HoltWinters (Matrix, Scalar, Scalar) -> Vector;
    "hour" Hour (Vector) [1] -> Vector;
    "idelta" Idelta (Matrix) -> Vector;
    "increase" Increase (Matrix) -> Vector;
    "irate" Irate (Matrix) -> Vector;
    "label_join" LabelJoin (Vector, String, String, String) [1] variadic true -> Vector;
    "label_replace" LabelReplace (Vector, String, String, String, String) -> Vector;
    "last_over_time" LastOverTime (Matrix) -> Vector;
    "ln" Ln (Vector) -> Vector;
    "log10" Log10 (Vector) -> Vector;
    "log2" Log2 (Vector) -> Vector;
    "max_over_time" MaxOverTime (Matrix) -> Vector;
    "min_over_time" MinOverTime (Matrix) -> Vector;
    "minute" Minute (Vector) [1] -> Vector;
    "month" Month (Vector) [1] -> Vector;
    "pi" Pi () -> Scalar;
    "predict_linear" PredictLinear (Matrix, Scalar) -> Vector;
    "present_over_time" PresentOverTime (Matrix) -> Vector;
    "quantile_over_time" QuantileOverTime (Scalar, Matrix) -> Vector;
    "rad" Rad (Vector) -> Vector;
    "rate" Rate (Matrix) -> Vector;
    "resets" Resets (Matrix) -> Vector;
    "round" Round (Vector, Scalar) [1] -> Vector;
    "scalar" Scalar (Vector) -> Scalar;
    "sgn" Sgn (Vector) -> Vector;
    "sin" Sin (Vector) -> Vector;
    "sinh" Sinh (Vector) -> Vector;
    "sort" Sort (Vector) -> Vector;
    "sort_desc" SortDesc (Vector) -> Vector;
    "sqrt" Sqrt (Vector) -> Vector;
    "stddev_over_time" StddevOverTime (Matrix) -> Vector;
    "stdvar_over_time" StdvarOverTime (Matrix) -> Vector;
    "sum_over_time" SumOverTime (Matrix) -> Vector;
    "tan" Tan (Vector) -> Vector;
    "tanh" Tanh (Vector) -> Vector;
    "time" Time () -> Scalar;
    "timestamp" Timestamp (Vector) -> Vector;
    "vector" Vector (Scalar) -> Vector;
    "year" Year (Vector) [1] -> Vector;
}

"""Every error a user can meet. Each also derives from the builtin it specialises."""


class QuantizableError(Exception):
    """Base of all errors of this package; the message is one line: where, what was found, what to do."""


class ModeError(QuantizableError, ValueError):
    """A bit mode is misspelt, out of range, doubled, or not one of the network's."""


class PlanError(QuantizableError, ValueError):
    """A plan asks for what the network or the quantizer cannot give."""


class ConvertError(QuantizableError, TypeError):
    """A network cannot be converted, or is not a converted one."""


class RangeError(QuantizableError, ValueError):
    """A step, scale, range or zero point lies outside what the arithmetic allows."""


class CalibrationError(QuantizableError, RuntimeError):
    """A mode is used before its steps were estimated, or its data cannot serve."""


class CheckpointError(QuantizableError, ValueError):
    """A checkpoint is missing, truncated, or does not fit the network."""


class RecipeError(QuantizableError, ValueError):
    """A recipe has an unknown key, a wrong value, or names something that does not exist."""


class DataError(QuantizableError, ValueError):
    """A data set is missing, damaged, or holds labels out of range."""


class TrainingError(QuantizableError, RuntimeError):
    """Training cannot go on: a loss is not finite, a loader failed, a process was lost."""


class RecordError(QuantizableError, ValueError):
    """A file of records cannot be read."""


class ArtifactError(QuantizableError, ValueError):
    """A .qdnn file cannot be read or written, is cut short or damaged, or does not mean what it says.

    Fields: path (file or address), reason (one of the words in docs/artifact_format.md, for programs), section (its name, or "").
    """

    def __init__(self, message: str, *, path: str = "", reason: str = "", section: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason
        self.section = section


class GraphError(QuantizableError, ValueError):
    """An IntegerModel does not hold together, or an input does not fit it."""


class FreezeError(QuantizableError, TypeError):
    """A network does something that an IntegerModel has no operation for."""


class EngineError(QuantizableError, RuntimeError):
    """A session cannot do what is asked: a kernel set that is not there, an input of another shape or dtype, a mode not prepared."""

"""What a run file may say: one strict schema, of which the policy reads this part.

The training extends it (``mobile_vla_ros.training.run_schema``). A value of the wrong kind is
refused; a key that is nearly a known one is taken for a misspelling and refused, since its
default would stand in unseen; any other key is kept, and named by whoever trains. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.spelling import meant_key

REMARKS = {"comment", "comments", "description", "note", "notes"}
LONGEST_SHOWN = 40


def _whole(value: Any) -> Any:
    """8.0 is a whole number too."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def must(sentence: str) -> WrapValidator:
    """Says what a value must be in one sentence, whatever is wrong with it."""

    def validate(value: Any, read: Callable[[Any], Any]) -> Any:
        try:
            return read(value)
        except ValidationError as error:
            raise PydanticCustomError("must", sentence) from error

    return WrapValidator(validate)


def _square(value: Any) -> Any:
    """[224, 224] is 224."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and value[0] == value[1]:
        return value[0]
    return value


Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Positive = Annotated[StrictFloat, Field(allow_inf_nan=False, gt=0)]
Seconds = Annotated[Positive, must("must be above 0 s")]
NotNegative = Annotated[StrictFloat, Field(allow_inf_nan=False, ge=0)]
Whole = Annotated[StrictInt, BeforeValidator(_whole)]
Count = Annotated[Whole, Field(gt=0), must("must be a whole number above 0")]
Side = Annotated[Count, BeforeValidator(_square)]
Colours = Annotated[tuple[Number, ...], Field(min_length=3, max_length=3), BeforeValidator(_tuple)]
Names = Annotated[tuple[StrictStr, ...], BeforeValidator(_tuple)]
PerAxis = Annotated[
    Number | tuple[Number, ...],
    BeforeValidator(_tuple),
    must("must be a number, or a list of one per axis"),
]


class Section(BaseModel):
    """One object of a run file. A null counts as not said; unknown keys are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    foreign: ClassVar[frozenset[str]] = frozenset()
    """Keys of other programs that are like ours: kept, and never taken for a misspelling."""

    remarks: ClassVar[frozenset[str]] = frozenset()
    """Keys that only describe: nothing is missed when nothing reads them."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            return {str(key): value for key, value in values.items() if value is not None}
        return values

    @classmethod
    def keys(cls) -> set[str]:
        """The keys that are read here, as they stand in the file."""
        return {field.alias or name for name, field in cls.model_fields.items()}

    def unread(self) -> list[str]:
        """The keys of this section that nothing reads, and that could be meant to do something."""
        silent = self.foreign | self.remarks
        return [key for key in self.model_extra or () if key not in silent and not _remark(key)]

    def sections(self) -> Iterator[tuple[str, Section]]:
        """(dotted path with a dot at its end, section) of this one and all below it."""
        yield "", self
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Section):
                for path, section in value.sections():
                    yield f"{field.alias or name}.{path}", section


class ActHead(Section):
    """The action head (``act_head``)."""

    remarks = frozenset({"with_history"})

    type: StrictStr | None = None
    hidden_size: Count | None = None
    num_layers: Count | None = None
    latent: Count | None = None
    action_dim: Count | None = None
    fwd_pred_next_n: Count | None = None
    window_size: Count | None = None
    down_sample: StrictStr = "none"
    action_space: StrictStr = "continuous"
    history_type: StrictStr = "post"


class Tokenizer(Section):
    """The tokenizer (``tokenizer``)."""

    remarks = frozenset(
        {
            "type",
            "pretrained_model_name_or_path",
            "tokenizer_type",
            "additional_special_tokens",
        }
    )

    max_text_len: Count = 256


class PolicyRun(Section):
    """What a policy needs to know of the run that trained it."""

    remarks = frozenset(
        {"robovlm_name", "parent", "task_name", "model", "model_url", "model_config", "vlm"}
    )

    window_size: Count | None = None
    fwd_pred_next_n: Count | None = None
    action_axes: Names | None = None
    action_axes_confirmed: StrictBool = True
    frame_period: Seconds | None = None
    action_period: Seconds | None = None
    norm_action: StrictBool = True
    norm_min: PerAxis = -1.0
    norm_max: PerAxis = 1.0
    image_size: Side | None = None
    image_mean: Colours | None = None
    image_std: Colours | None = None
    use_hand_rgb: StrictBool = False
    use_vision_resampler: StrictBool = False
    act_head: ActHead = ActHead()
    tokenizer: Tokenizer = Tokenizer()


SomeSection = TypeVar("SomeSection", bound=Section)


def read_section(
    kind: type[SomeSection],
    values: Mapping[str, Any],
    name: str,
    error: type[InputError] = CheckpointError,
) -> SomeSection:
    """Reads a run file, or a part of one, by its schema.

    Args:
        kind: the schema.
        values: the JSON object.
        name: how errors name the file.
        error: what is raised.

    Raises:
        InputError: of the given kind, on a value of the wrong kind and on a misspelt key.
    """
    _refuse_misspelt(kind, values, "", name, error)
    try:
        return kind.model_validate(values)
    except ValidationError as wrong:
        raise error(f"{name}: {_sentence(wrong.errors(include_url=False)[0])}") from wrong


def unread_keys(found: Section) -> list[str]:
    """Dotted names of the keys that stood in the file and that nothing reads."""
    return [
        f"{path}{key}"
        for path, section in found.sections()
        for key in section.model_extra or ()
        if key not in section.remarks and not _remark(key)
    ]


def _refuse_misspelt(
    kind: type[Section],
    values: Mapping[str, Any],
    prefix: str,
    name: str,
    error: type[InputError],
) -> None:
    known = kind.keys()
    for key, value in values.items():
        if key not in known | kind.foreign | kind.remarks and not _remark(key):
            meant = meant_key(str(key), known)
            if meant is not None:
                raise error(
                    f"{name}: {prefix}{key} is no key of a run file, and would be ignored; "
                    f"did you mean {prefix}{meant}?"
                )
        below = _section_of(kind, key)
        if below is not None and isinstance(value, Mapping):
            _refuse_misspelt(below, value, f"{prefix}{key}.", name, error)


def _section_of(kind: type[Section], key: str) -> type[Section] | None:
    for name, field in kind.model_fields.items():
        if key == (field.alias or name):
            found = field.annotation
            if isinstance(found, type) and issubclass(found, Section):
                return found
    return None


def _remark(key: str) -> bool:
    """A key that is a remark, as JSON without comments has them."""
    return key.startswith(("_", "#", "/")) or key.lower() in REMARKS


def _sentence(wrong: Any) -> str:
    """What pydantic found, in one sentence: key, value, and what it must be."""
    place = [str(part) for part in wrong["loc"] if not isinstance(part, int)]
    value = wrong["input"]
    kind, more = wrong["type"], wrong.get("ctx", {})
    musts = {
        "bool_type": "must be true or false",
        "int_type": "must be a whole number",
        "float_type": "must be a number",
        "finite_number": "must be a number that is finite",
        "string_type": "must be text",
        "greater_than": "must be above {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be below {lt}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "must be one of {expected}",
        "model_type": "must be an object",
        "model_attributes_type": "must be an object",
        "tuple_type": "must be a list",
        "too_short": "must have {min_length} values",
        "too_long": "must have {max_length} values",
    }
    must = musts.get(kind, wrong["msg"][:1].lower() + wrong["msg"][1:]).format(**more)
    shown = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "too large"
    if len(shown) > LONGEST_SHOWN:
        shown = f"{shown[:LONGEST_SHOWN]}..."
    return f"{'.'.join(place)} is {shown}; {place[-1] if place else 'it'} {must}"

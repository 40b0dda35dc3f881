"""Finding and loading import profiles by name (导入配置的加载)."""

from pathlib import Path

from services.contracts.data_files import CONFIG_ROOT, DataFileError, read_yaml
from services.contracts.key_schemes import KeySchemes, load_key_schemes
from services.importing.compilation import compile_profile
from services.importing.compiled import CompiledProfile
from services.importing.profile import ImportProfile

PROFILES_FOLDER = CONFIG_ROOT / "import_profiles"


def profile_names(folder: Path = PROFILES_FOLDER) -> tuple[str, ...]:
    """Return the names of the profiles that can be loaded, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def default_profile_name(family: str) -> str:
    """Return the name of the profile for files with our own headers of one family."""
    return f"default-{family}"


def profile_path(name: str, folder: Path = PROFILES_FOLDER) -> Path:
    """Return the file of a profile; raise DataFileError when there is none of that name."""
    path = folder / f"{name}.yaml"
    if name not in profile_names(folder):
        known = ", ".join(profile_names(folder))
        raise DataFileError(path, "", f"no such import profile; there are {known}")
    return path


def load_profile(
    name: str, folder: Path = PROFILES_FOLDER, schemes: KeySchemes | None = None
) -> CompiledProfile:
    """Load and check a profile; raise DataFileError naming file and rule for anything wrong."""
    path = profile_path(name, folder)
    profile = read_yaml(path, ImportProfile)
    if profile.profile != name:
        raise DataFileError(path, "profile", f"is {profile.profile!r}, but the file is {path.name}")
    return compile_profile(profile, path, schemes or load_key_schemes())

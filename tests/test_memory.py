import subprocess
import sys
from types import SimpleNamespace

import pytest

from nst_keras.memory import free_memory

GB = 10**9


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 20 GB free, and a way to lay the files that tell of its control groups."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=20 * GB))

    def lay(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return lay


def test_without_limits_it_is_what_the_machine_has(machine):
    assert free_memory(machine({})) == 20 * GB
    assert free_memory(machine({"proc/self/cgroup": "0::/\n"})) == 20 * GB


def test_version_2_leaves_its_limit_less_its_use_and_the_cache_can_be_given_back(machine):
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": f"{1500 * 10**6}\n",
        "sys/fs/cgroup/memory.current": f"{700 * 10**6}\n",
        "sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {200 * 10**6}\nactive_file 7\n",
    }
    assert free_memory(machine(files)) == GB


def test_version_2_the_limits_of_the_groups_above_hold_too(machine):
    files = {"proc/self/cgroup": "0::/user/shell\n"}
    for group, limit in (("user/shell", "max"), ("user", str(3 * GB)), ("", str(9 * GB))):
        files[f"sys/fs/cgroup/{group}/memory.max"] = limit
        files[f"sys/fs/cgroup/{group}/memory.current"] = str(GB)
        files[f"sys/fs/cgroup/{group}/memory.stat"] = "inactive_file 0\n"
    assert free_memory(machine(files)) == 2 * GB


def version_1(limit):
    return {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{limit}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GB}\n",
        "sys/fs/cgroup/memory/memory.stat": f"cache 1\ntotal_inactive_file {GB // 2}\n",
    }


def test_version_1_in_a_container_that_sees_only_its_own_group(machine):
    assert free_memory(machine(version_1(limit=2 * GB))) == 1.5 * GB


def test_version_1_without_a_limit(machine):
    assert free_memory(machine(version_1(limit=2**63 - 4096))) == 20 * GB


def test_a_group_that_holds_more_than_it_may_leaves_nothing(machine):
    assert free_memory(machine(version_1(limit=GB // 4))) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the address space cannot be limited")
def test_a_limit_of_the_address_space_holds():
    code = """if True:
        import resource, psutil
        from nst_keras.memory import free_memory
        limit = 900 * 10**6
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        print(free_memory(), limit - psutil.Process().memory_info().vms)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    free, left = map(int, run.stdout.split())
    assert free == pytest.approx(left, abs=5e6)
    assert 0 < free < 900e6

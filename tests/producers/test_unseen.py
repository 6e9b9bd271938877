"""Nothing of the user's tests changes because they are published: what they look at is as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.producers.conftest import Project

#: Writes down each call of a function that tests like to replace, if it is one of ours that calls.
WATCHED = """
    import builtins, datetime, fcntl, gzip, io, json, logging, os, pickle, random, select, shutil, signal, socket
    import subprocess, sys, tempfile, threading, time, uuid, zlib
    import pytest
    NAMES = {
        os: "open read write close fstat stat lstat lseek rename replace unlink remove mkdir rmdir listdir scandir "
            "urandom getpid getenv fsync ftruncate pread pwrite kill fork waitpid pipe dup",
        time: "time monotonic perf_counter sleep clock_gettime time_ns monotonic_ns strftime gmtime localtime",
        json: "dumps loads dump load", pickle: "dumps loads dump load", zlib: "crc32 compress decompress",
        gzip: "compress open", select: "select", socket: "socket create_connection getaddrinfo",
        subprocess: "Popen run call check_output", threading: "Thread Lock Event", fcntl: "flock fcntl",
        signal: "signal getsignal", logging: "getLogger", random: "random", uuid: "uuid4", shutil: "rmtree which",
        tempfile: "gettempdir mkdtemp", builtins: "open print", sys: "exc_info",
    }
    CALLS = []
    def watched(module, name):
        real = getattr(module, name)
        def call(*args, **kwargs):
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if caller.startswith("testbus"):
                CALLS.append((name, caller))
            return real(*args, **kwargs)
        return real, call
    @pytest.fixture(scope="session", autouse=True)
    def watching():
        kept = []
        for module, names in NAMES.items():
            for name in names.split():
                real, call = watched(module, name)
                kept.append((module, name, real))
                setattr(module, name, call)
        yield
        for module, name, real in kept:
            setattr(module, name, real)
        assert CALLS == []
        assert len(kept) > 70
"""

#: Look at this process.
LOOKING = """
    import multiprocessing, os, signal, threading
    import psutil, pytest
    def test_alone():
        assert threading.active_count() == 1
    def test_no_children():
        assert psutil.Process().children() == []
    def test_reaps_all_children():
        for code in (1, 2):
            if not os.fork():
                os._exit(code)
        codes = []
        while True:
            try:
                codes.append(os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]))
            except ChildProcessError:
                break
        assert sorted(codes) == [1, 2]
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGCONT, signal.SIGCHLD, signal.SIGUSR1])
    def test_signals_are_nobodys(number):
        assert signal.getsignal(number) == signal.SIG_DFL
    def test_a_child_in_c_code_is_ended():
        process = multiprocessing.get_context("fork").Process(target=sum, args=(range(10 ** 11),), daemon=True)
        process.start()
        process.terminate()
        process.join(8)
        process.kill()
        process.join()
        assert process.exitcode == -15
    def test_a_new_file_has_the_next_number():
        numbers = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
        assert max(numbers) < 64
        for number in numbers:
            os.close(number)
"""

#: Look at what they are given.
GIVEN = """
    import logging, threading
    from unittest import mock
    import pytest
    class Secret:
        asked = 0
        def __str__(self):
            pytest.fail("a secret must never be printed")
        __repr__ = __format__ = __str__
    class Exiting:
        def __repr__(self): raise SystemExit(3)
        def __class__(self): raise SystemExit(3)
    class Loud(list):
        def __repr__(self): raise KeyboardInterrupt
    @pytest.mark.owner(Secret(), who=[Exiting()])
    @pytest.mark.parametrize("value", [Secret(), [Secret()], {"a": Exiting()}, Loud([1]), mock.MagicMock()])
    def test_untouched(value):
        assert not isinstance(value, mock.Mock) or value.mock_calls == []
    def test_a_report_whose_exception_cannot_be_seen(request):
        # As pytest-subtests makes it with pytest 8 for a subtest that is skipped.
        class Call:
            when, duration = "call", 0.0
            @property
            def excinfo(self):
                return self
            @property
            def value(self):
                raise TypeError("'ExceptionInfo' object is not subscriptable")
        plugin = request.config.pluginmanager.get_plugin("testbus-items")
        plugin.pytest_runtest_makereport(item=request.node, call=Call())
    def test_logs_with_numbers_as_names():
        thread = threading.current_thread()
        name, thread._name = thread._name, 7
        try:
            logging.getLogger("shop").warning("careful")
        finally:
            thread._name = name
    def test_logs_are_written_once():
        said = mock.MagicMock()
        said.__str__ = mock.Mock(return_value="said")
        logging.getLogger("shop").warning("%s", said)
        assert said.__str__.call_count == 3, "once for each of pytest's own handlers"
"""


def test_tests_see_nothing_of_us(project: Project) -> None:
    """Threads, children, signals, descriptors, parameters, and the functions that tests replace."""
    project.write(conftest=WATCHED, test_given=GIVEN, test_looking=LOOKING)
    ran = project.run(
        "-p", "no:rerunfailures", "-p", "no:timeout", "-p", "no:xdist", "-W", "ignore::pytest.PytestWarning"
    )
    assert ran.status == 0, ran.output
    assert "internal error" not in ran.output
    assert set(project.outcomes().values()) == {"passed"}


def test_without_pytests_logging_the_root_logger_is_the_tests(project: Project) -> None:
    """-p no:logging leaves no handler: ours would keep basicConfig from doing anything."""
    project.write(
        test_configures="""
            import io, logging
            def test_configures():
                out = io.StringIO()
                logging.basicConfig(stream=out, format="%(message)s", level="INFO")
                logging.info("hello")
                assert out.getvalue() == "hello\\n"
            def test_last_resort(capsys):
                logging.root.handlers.clear()
                logging.getLogger("z").warning("careful")
                assert "careful" in capsys.readouterr().err
        """
    )
    ran = project.run("-p", "no:logging")
    assert ran.status == 0, ran.output
    assert len(project.results()) == 2


@pytest.mark.parametrize("most", [64, 4096])
def test_descriptors_that_were_closed_are_not_written_to(project: Project, most: int) -> None:
    """A test that closes what is not its own costs no result, and its own files stay as they are."""
    project.write(
        test_close=f"""
            import os
            def test_before(): pass
            def test_closes():
                os.closerange(3, {most})
            OPEN = []
            def test_opens(tmp_path_factory):
                folder = tmp_path_factory.mktemp("kept")
                for n in range(30):
                    OPEN.append(open(folder / f"o{{n}}", "w+b", buffering=0))
                    os.dup2(OPEN[-1].fileno(), {most} - 40 + n)
            def test_bad(): assert 0
            def test_files_are_mine():
                assert [os.fstat(file.fileno()).st_size for file in OPEN] == [0] * 30
        """
    )
    ran = project.run("-s")
    assert ran.status == 1, ran.output
    assert {name.partition("::")[2]: outcome for name, outcome in project.outcomes().items()} == {
        "test_before": "passed",
        "test_closes": "passed",
        "test_opens": "passed",
        "test_bad": "failed",
        "test_files_are_mine": "passed",
    }


def test_a_name_that_is_no_text_does_not_end_a_worker(project: Project) -> None:
    """Files, markers and docstrings with what xdist cannot send: the session goes on, and the results are there."""
    project.write(
        test_names="""
            import os, pytest, testbus
            class Text(str): pass
            def test_before(): pass
            def test_attaches(tmp_path):
                name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\\xe9.txt")
                with open(name, "w") as file:
                    file.write("x")
                testbus.attach(name)
                testbus.attach(b"x", name=Text("mine\\udc80"), media_type=Text("text/plain"))
                with testbus.step(Text("a step \\udcff")): pass
            @pytest.mark.owner(Text("ann\\udc80"), **{Text("who"): Text("x")})
            def test_marked(): pass
            test_marked.__doc__ = Text("Says \\udc80.")
            def test_after(): assert 0
        """
    )
    ran = project.run("-n1")
    assert ran.status == 1, ran.output
    assert sorted(project.outcomes().values()) == ["failed", "passed", "passed", "passed"]

"""The command `sentiment` in the tests' process, which has imported what it needs."""

from click.testing import CliRunner


class Command:
    """The command `sentiment`, called in this process and working directory."""

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Call the command, check its exit status, and return what it printed."""
        from sentiment import cli

        done = CliRunner().invoke(cli.main, list(arguments), catch_exceptions=False)
        assert done.exit_code == status, done.output
        return done.output

    def fail(self, *arguments: str) -> str:
        """Call the command, which must fail with one message, and return what it printed."""
        return self(*arguments, status=1)

@echo off
rem Sets up if needed, then starts the backend. Quoted paths: the folder may hold spaces and any letters.
setlocal
chcp 65001 >nul
cd /d "%~dp0"
set "PHONOGRAM_PROGRAM=start_backend.bat"
where py >nul 2>nul
if not errorlevel 1 (
    py -3 "%~dp0launch.py" start backend %*
    goto done
)
where python >nul 2>nul
if not errorlevel 1 (
    python "%~dp0launch.py" start backend %*
    goto done
)
echo No Python was found. Install Python 3.10 to 3.13 from python.org, tick "Add python.exe to PATH",
echo then start this file again.
pause
exit /b 1

:done
if errorlevel 1 (
    echo.
    echo It stopped with an error; the reason is above.
    pause
    exit /b 1
)
endlocal
